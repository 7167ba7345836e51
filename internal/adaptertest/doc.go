// Package adaptertest runs one table of requests on a framework's adapter and
// compares every answer, status, headers and body, byte for byte with what
// package middleware alone gives on net/http. A new adapter is tested by one
// call of [Run].
package adaptertest
