package wire

import (
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// AppendEvent appends an event as publishing doors take it. Members that are absent are left out. Data is
// copied as it stands.
func AppendEvent(dst []byte, ev *event.Event) []byte {
	return appendMembers(append(dst, '{'), ev)
}

// AppendBusEvent appends an event as a bus carries it: with the version first.
func AppendBusEvent(dst []byte, ev *event.Event) []byte {
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, Version, 10)
	return appendMembers(append(dst, ','), ev)
}

func appendMembers(dst []byte, ev *event.Event) []byte {
	dst = append(dst, `"channel":`...)
	dst = jsontape.AppendQuoted(dst, ev.Channel)
	dst = appendText(dst, `,"type":`, ev.Type)
	dst = appendText(dst, `,"id":`, ev.ID)
	if ev.ID == "" && ev.UID != (event.ID{}) {
		dst = append(event.AppendID(append(dst, `,"id":"`...), ev.UID), '"')
	}
	dst = appendText(dst, `,"tenant_id":`, ev.TenantID)
	dst = appendText(dst, `,"user_id":`, ev.UserID)
	dst = appendText(dst, `,"federation_id":`, ev.FederationID)
	dst = appendText(dst, `,"service_name":`, ev.ServiceName)
	if ev.Broadcast {
		dst = append(dst, `,"broadcast":true`...)
	}
	if !ev.Timestamp.IsZero() {
		dst = append(dst, `,"timestamp":"`...)
		dst = append(ev.Timestamp.AppendFormat(dst, time.RFC3339Nano), '"')
	}
	dst = append(dst, `,"data":`...)
	return append(append(dst, ev.Data...), '}')
}

func appendText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return jsontape.AppendQuoted(append(dst, name...), text)
}
