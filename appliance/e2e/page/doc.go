// Package page holds the tests of the admin page: the real admind, and a real browser that walks
// through it as an admin does.
package page
