public import HTTP

/// Fields that only the edge may write: of these every copy from a client is removed, in heads and in trailers, whatever
/// its spelling.
///
/// Names are compared in lower case with every character that is not a letter or digit taken for "-", since servers with
/// CGI-like variables cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
public enum ProtectedFields {
    /// Name beginnings that belong to the edge.
    static let prefixes = ["conduit-", "x-forwarded-", "x-conduit-"]

    /// Names that tell a service who the client is, what he asked for, or through what he came. The last lines are what
    /// other proxies and services believe in.
    static let names: Set<String> = [
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
        return name.withUTF8 { contains(UnsafeRawBufferPointer($0)) }
    }

    static func contains(_ name: UnsafeRawBufferPointer) -> Bool { contains(normalised: normalised(name)) }

    static func contains(normalised name: String) -> Bool {
        names.contains(name) || prefixes.contains { name.utf8.starts(with: $0.utf8) }
    }

    /// Lower case, everything but letters and digits as "-". Cut at 64 bytes, which is more than any name here has.
    static func normalised(_ name: UnsafeRawBufferPointer) -> String {
        let count = min(name.count, 64)
        return String(unsafeUninitializedCapacity: count) { target in
            for index in 0..<count {
                target[index] = Text.isAlphanumeric(name[index]) ? Text.lowered(name[index]) : 0x2D
            }
            return count
        }
    }

    /// Trailers as they may be passed on to a service: without protected fields and without those that Connection named
    /// in the head.
    public static func cleaned(trailers: HTTPHeaders, head: HTTPHeaders) -> HTTPHeaders {
        if trailers.isEmpty { return trailers }
        let named = ConnectionFields.named(head)
        var trailers = trailers
        trailers.removeAll { name in
            let name = normalised(name)
            return contains(normalised: name) || ConnectionFields.isHopByHop(name) || named.contains(name)
                || HeadOnlyFields.names.contains(name)
        }
        return trailers
    }
}

/// Fields that mean something only in a head, and in trailers would be read by servers that merge both.
enum HeadOnlyFields {
    static let names: Set<String> = [
        "authorization", "cookie", "set-cookie", "host", "content-length", "content-type", "content-encoding",
        "content-range", "cache-control", "expect", "range", "max-forwards", "origin", "referer", "dpop", "x-api-key",
        "traceparent", "tracestate", "via", "location", "vary", "age", "date", "retry-after", "warning",
        "www-authenticate", "strict-transport-security", "sec-websocket-key", "sec-websocket-protocol",
        "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept", "if-match", "if-none-match",
        "if-modified-since", "if-unmodified-since", "if-range", "pragma", "accept", "x-http-method-override",
        "access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods",
        "access-control-allow-headers", "access-control-expose-headers", "access-control-max-age",
    ]
}

/// What concerns one connection only (RFC 9110, 7.6.1).
enum ConnectionFields {
    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "proxy-authentication-info", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
    ]

    /// Fields that belong to the whole way: a client that names one in Connection wants it removed between the check
    /// and the service.
    private static let endToEnd: Set<String> = [
        "host", "authorization", "cookie", "content-length", "content-type", "content-encoding", "content-range",
        "transfer-encoding", "origin", "dpop", "x-api-key", "expect", "cache-control", "range",
        "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
    ]

    static func isHopByHop(_ normalised: String) -> Bool { hopByHop.contains(normalised) }

    /// The names in Connection, normalised.
    static func named(_ headers: HTTPHeaders) -> Set<String> {
        var names: Set<String> = []
        for option in headers.list("Connection") {
            var option = option
            names.insert(option.withUTF8 { ProtectedFields.normalised(UnsafeRawBufferPointer($0)) })
        }
        return names
    }

    /// The names in Connection; throws 400 where one of them belongs to the whole way.
    static func checkedNames(_ headers: HTTPHeaders) throws(EdgeRefusal) -> Set<String> {
        let names = named(headers)
        if !names.isDisjoint(with: endToEnd) {
            throw EdgeRefusal(
                .connectionNamesEndToEnd, status: 400, "Connection names a field that is not only for this connection")
        }
        return names
    }
}
