// Package load holds end-to-end tests of the built command under load: subscribers that stop reading among many
// that do not, and connections that break off by the thousand. They check what happens, never how long it takes.
package load
