package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"testing"
	"time"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/drift"
	"google.golang.org/protobuf/proto"
)

func made(t *testing.T, options Options) *core.ConnectOptions {
	t.Helper()
	contract, err := contractOptions(options, false)
	if err != nil {
		t.Fatal(err)
	}
	return contract
}

func TestEachOptionOfAConnectionIsOfferedOrThereIsAReason(t *testing.T) {
	connection := func(o ConnectionOptions) Options { return Options{ConnectionOptions: o} }
	drift.Check(t, map[string]drift.Origin[Options]{
		"target":         {By: Options{HostPort: "embedded:"}},
		"namespace":      {By: Options{Namespace: "orders"}},
		"identity":       {By: Options{Identity: "me"}},
		"client_name":    {Without: "the SDK says it itself"},
		"client_version": {Without: "the SDK says it itself"},
		"tls":            {By: connection(ConnectionOptions{TLSDisabled: true})},
		"api_key":        {By: Options{Credentials: NewAPIKeyStaticCredentials("key")}},
		"metadata":       {Without: "the official SDK asks a HeadersProvider at each call, which is not there yet; a call's context has metadata"},
		"retry":          {Without: "the official SDK has no such option"},
		"keep_alive":     {By: connection(ConnectionOptions{KeepAliveTime: time.Second})},
		"lazy":           {Without: "it is what NewLazyClient is for"},
		"embedded":       {By: connection(ConnectionOptions{Embedded: EmbeddedOptions{Listen: "127.0.0.1:0"}})},
	}, func(o Options) proto.Message { return made(t, o) })
}

func TestEachOptionOfTLSIsOfferedOrThereIsAReason(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mutual := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}, PrivateKey: key}}}
	drift.Check(t, map[string]drift.Origin[ConnectionOptions]{
		"disabled":            {By: ConnectionOptions{TLSDisabled: true}},
		"server_root_ca_cert": {By: ConnectionOptions{TLS: &tls.Config{}, TLSRootCAs: []byte("PEM")}},
		"domain":              {By: ConnectionOptions{TLS: &tls.Config{ServerName: "temporal"}}},
		"client_cert":         {By: ConnectionOptions{TLS: mutual}, Also: "client_private_key"},
		"client_private_key":  {By: ConnectionOptions{TLS: mutual}, Also: "client_cert"},
	}, func(o ConnectionOptions) proto.Message {
		if tls := made(t, Options{ConnectionOptions: o}).Tls; tls != nil {
			return tls
		}
		return &core.TlsOptions{}
	})
}

func TestEachOptionOfKeepAliveIsOffered(t *testing.T) {
	drift.Check(t, map[string]drift.Origin[ConnectionOptions]{
		"disabled": {By: ConnectionOptions{DisableKeepAliveCheck: true}},
		"interval": {By: ConnectionOptions{KeepAliveTime: time.Second}},
		"timeout":  {By: ConnectionOptions{KeepAliveTimeout: time.Second}},
	}, func(o ConnectionOptions) proto.Message {
		if keepAlive := made(t, Options{ConnectionOptions: o}).KeepAlive; keepAlive != nil {
			return keepAlive
		}
		return &core.KeepAliveOptions{}
	})
}

func TestEachOptionOfAnEmbeddedServerIsOffered(t *testing.T) {
	drift.Check(t, map[string]drift.Origin[EmbeddedOptions]{
		"namespaces":    {By: EmbeddedOptions{Namespaces: []string{"orders"}}},
		"listen":        {By: EmbeddedOptions{Listen: "127.0.0.1:0"}},
		"time_skipping": {By: EmbeddedOptions{TimeSkipping: true}},
		"fail_fast":     {By: EmbeddedOptions{FailFast: true}},
	}, func(o EmbeddedOptions) proto.Message {
		if embedded := made(t, Options{ConnectionOptions: ConnectionOptions{Embedded: o}}).Embedded; embedded != nil {
			return embedded
		}
		return &core.EmbeddedOptions{}
	})
}
