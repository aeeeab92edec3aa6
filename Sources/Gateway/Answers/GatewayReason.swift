/// Why the edge refused something. Raw values are stable: they stand in problem documents, logs and metrics.
public enum GatewayReason: String, Sendable, Hashable, CaseIterable {
    // Who the client is
    /// A trusted proxy sent an X-Forwarded-*, X-Real-IP or Forwarded field that cannot be read.
    case badForwardedField = "bad_forwarded_field"
    /// Forwarded fields of one request disagree.
    case forwardedContradiction = "forwarded_contradiction"
    /// An authenticated proxy sent a Client-Cert field that cannot be read.
    case badClientCertField = "bad_client_cert_field"
    /// The socket peer is not one of the trusted proxies, where only those may connect.
    case untrustedPeer = "untrusted_peer"
    /// A trusted peer did not send the PROXY header that it has to send.
    case missingProxyHeader = "missing_proxy_header"
    /// The PROXY header cannot be read.
    case badProxyHeader = "bad_proxy_header"
    /// The address is on the listener's deny list or not on its allow list.
    case addressNotAllowed = "address_not_allowed"
    // Hosts, origins, routes
    /// The host is not one that is served here.
    case hostNotAllowed = "host_not_allowed"
    /// The browser page's origin may not use this route.
    case originNotAllowed = "origin_not_allowed"
    /// The Origin field cannot be read, or there are several.
    case badOrigin = "bad_origin"
    /// No route has that host and path.
    case noRoute = "no_route"
    /// The path can be read in two ways that lead to different routes.
    case ambiguousPath = "ambiguous_path"
    /// The path has an empty segment: two slashes in a row.
    case emptySegment = "empty_segment"
    /// The path is escaped twice.
    case doubleEncoding = "double_encoding"
    /// The path has a "." or ".." segment in some spelling.
    case dotSegment = "dot_segment"
    /// The path has an escaped slash or a backslash.
    case encodedSlash = "encoded_slash"
    /// The path has an escaped control character.
    case forbiddenPathByte = "forbidden_path_byte"
    /// The path is not UTF-8 behind its escapes.
    case pathNotUTF8 = "not_utf8"
    /// A target that is neither a path nor an http URL.
    case badTarget = "bad_target"
    // Methods and connection fields
    /// CONNECT and TRACE are not relayed.
    case methodNotAllowed = "method_not_allowed"
    /// Connection names a field that belongs to the whole way.
    case connectionNamesEndToEnd = "connection_names_end_to_end"
    /// A WebSocket handshake that is not in order.
    case badWebSocketHandshake = "bad_websocket_handshake"
    /// The request came by here too often.
    case loopDetected = "loop_detected"
    // Credentials
    /// More than one credential in one request.
    case multipleCredentials = "multiple_credentials"
    /// A credential that is not in the form of its scheme.
    case malformedCredential = "malformed_credential"
    /// No credential, and the route wants one.
    case credentialMissing = "credential_missing"
    // Limits
    /// More requests than allowed in that time.
    case rateLimited = "rate_limited"
    /// Too many failed authentications from there; wait.
    case tooManyFailures = "too_many_failures"
    /// Too many connections at once.
    case tooManyConnections = "too_many_connections"
    // Transport
    /// Plain HTTP on a port that speaks TLS.
    case tlsRequired = "tls_required"
    /// The edge stops; whoever comes again finds it, or another one.
    case goingAway = "going_away"
    // Services
    /// The service's answer cannot be passed on.
    case badServiceAnswer = "bad_service_answer"
    // In-band authentication
    /// The first message of a WebSocket without credential is not an authentication message.
    case authenticationExpected = "authentication_expected"
    /// No authentication message came in time.
    case authenticationTimeout = "authentication_timeout"
    /// An authentication message is larger than allowed.
    case authenticationTooLarge = "authentication_too_large"
    /// An authentication message that cannot be read.
    case authenticationMalformed = "authentication_malformed"
}
