public import HTTP

/// Fields that only the edge may write: of these every copy from a client is removed, in heads and in trailers, whatever
/// its spelling.
///
/// Names are compared in lower case with every character that is not a letter or digit taken for "-", since servers with
/// CGI-like variables cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
public enum ProtectedFields {
    /// Name beginnings that belong to the edge.
    static let prefixes: [StaticString] = ["conduit-", "x-forwarded-", "x-conduit-"]

    /// Names that tell a service who the client is, what he asked for, or through what he came. The last lines are what
    /// other proxies and services believe in.
    static let names = [
        "forwarded", "x-forwarded", "x-real-ip", "x-request-id", "client-cert", "client-cert-chain",
        "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip",
        "x-original-forwarded-for", "x-envoy-external-address", "x-proxyuser-ip", "x-remote-addr", "remote-addr",
        "x-client-cert", "x-ssl-client-cert", "ssl-client-cert", "x-ssl-cert", "x-client-dn", "x-ssl-client-dn",
        "x-ssl-client-s-dn", "x-ssl-client-verify", "ssl-client-verify", "x-client-verify", "x-client-cn",
        "x-ssl-client-cn", "x-arr-clientcert", "x-remote-user", "remote-user", "x-authenticated-user",
        "x-auth-request-user", "x-auth-request-email", "x-auth-request-groups",
        "x-original-url", "x-rewrite-url", "x-original-uri", "x-original-host", "x-host", "x-url-scheme",
        "x-scheme", "front-end-https", "proxy", "http2-settings",
    ]

    /// Whether a client's field of that name is removed.
    public static func contains(_ name: String) -> Bool {
        var name = name
        return name.withUTF8 { FieldKind.of(UnsafeRawBufferPointer($0)) }.contains(.protected)
    }

    /// Trailers as they may be passed on to a service: without protected fields, without those that mean something in a
    /// head only, and without those that Connection named in the head.
    public static func cleaned(trailers: HTTPHeaders, head: HTTPHeaders) -> HTTPHeaders {
        if trailers.isEmpty { return trailers }
        let named = ConnectionFields.named(head)
        var trailers = trailers
        trailers.removeAll { name in
            !FieldKind.of(name).isDisjoint(with: [.protected, .hopByHop, .headOnly]) || named.contains(FieldKey(name))
        }
        return trailers
    }
}
