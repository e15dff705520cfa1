package hub

import "github.com/fraiseql/fraiseql-go/internal/jsontape"

// Again returns what a live subscription joined with, as its group and its identity are now, for another one in its
// place; judge the plan anew for Join.Mask. tape is filled with the variables. ok is false when it has ended.
func (h *Hub) Again(s *Subscription, tape *jsontape.Tape) (j Join, ok bool) {
	j, g := s.channel.present(s)
	if g == nil || tape.Parse(j.Variables, jsontape.Admitted) != nil {
		return j, false
	}
	j.salt = 0
	j.Conn, j.ID, j.Policy, j.Identity, j.Tape = s.Conn(), s.AppendID(nil), s.Policy(), s.who.Load(), tape
	return j, true
}
