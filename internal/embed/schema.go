//go:build linux

package embed

import "errors"

// SetSchema puts another schema in force for an engine that has one. text is a JSON object with the member schema of an
// engine's configuration. It returns how many live subscriptions went on, and how many ended.
func (e *Engine) SetSchema(text []byte) (moved, ended int, err error) {
	var c engineConfig
	errs := readObject(text, "schema", func(name string, m member) bool {
		if name == "schema" {
			m.list(c.source)
		}
		return name == "schema"
	})
	if len(errs) > 0 {
		return 0, 0, errors.Join(errs...)
	}
	change, err := e.facade.SetSchema(c.Schema...)
	if err != nil {
		err = refusedConfig(err)
	}
	return change.Moved, change.Ended, err
}
