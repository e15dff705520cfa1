package config

// wire judges the keys of table_wire.go.
func (v *check) wire() {
	t := &v.Config.TLS
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		v.fail("tls.key_file", "is needed with tls.cert_file")
	case t.CertFile == "" && t.KeyFile != "":
		v.fail("tls.cert_file", "is needed with tls.key_file")
	case t.CertFile == "" && t.MinVersion != "1.2":
		v.fail("tls.min_version", "has no effect without tls.cert_file")
	}
}
