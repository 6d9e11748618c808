// Package put is Caddy's handler for PUT in the arena: the WebDAV handler of golang.org/x/net, as the plugin that is used for
// it everywhere (github.com/mholt/caddy-webdav) wraps it, with a directory and nothing else.
package put

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/webdav"
)

func init() {
	caddy.RegisterModule(Put{})
	httpcaddyfile.RegisterHandlerDirective("webdav", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		var put Put
		return &put, put.UnmarshalCaddyfile(h.Dispenser)
	})
}

// Put stores what arrives beneath Root.
type Put struct {
	Root    string `json:"root,omitempty"`
	handler webdav.Handler
}

// CaddyModule says how it is made.
func (Put) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webdav", New: func() caddy.Module { return new(Put) }}
}

// Provision sets it up.
func (put *Put) Provision(caddy.Context) error {
	put.handler = webdav.Handler{FileSystem: webdav.Dir(put.Root), LockSystem: webdav.NewMemLS()}
	return nil
}

// UnmarshalCaddyfile reads `webdav * ROOT`; a path right behind the name would be a matcher.
func (put *Put) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if !d.Args(&put.Root) {
			return d.ArgErr()
		}
	}
	return nil
}

// ServeHTTP takes what changes files; everything else is left to the handlers behind it.
func (put *Put) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method != http.MethodPut {
		return next.ServeHTTP(w, r)
	}
	put.handler.ServeHTTP(w, r)
	return nil
}
