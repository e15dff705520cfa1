package loadgen

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

// tenantOf is the tenant that a room stands for.
func tenantOf(room int) string { return "tenant" + strconv.Itoa(room) }

// signed is a token (HS256) of one user of a tenant, for an hour.
func signed(secret []byte, user int, tenant string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(fmt.Appendf(nil,
		`{"iss":"bench","aud":"bench","sub":"user%d","tenant_id":%q,"exp":%d}`, user, tenant, time.Now().Add(time.Hour).Unix()))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}
