internal import Bytes

extension Handshake {
    /// A client's handshake that is in order.
    public struct Request: Sendable, Hashable {
        /// The value for `Sec-WebSocket-Accept`.
        public let accept: String
        /// The `Host` field.
        public let host: String
        /// The `Origin` field, which browsers send: whether it may come in is the caller's decision (section 10.2).
        public let origin: String?
        /// The subprotocols that the client offered, in its order of preference.
        public let offeredProtocols: [String]
        /// The first of them that is supported here; nil if none is.
        public let selectedProtocol: String?
        /// The extensions that the client offered, as it wrote them. None is ever accepted here; a gateway passes them
        /// on.
        public let offeredExtensions: [String]
    }

    /// Why a request is not a handshake that can be accepted, and the answer it gets.
    public struct Refusal: Error, Sendable, Hashable, CustomStringConvertible {
        /// The rule that was broken.
        public enum Reason: String, Sendable, Hashable, CaseIterable {
            /// A method other than GET.
            case methodNotGet = "method_not_get"
            /// HTTP/1.0 or older.
            case httpVersion = "http_version"
            /// No Host field, or several.
            case host
            /// `Upgrade` does not name websocket: an ordinary request.
            case notAnUpgrade = "not_an_upgrade"
            /// `Connection` does not name upgrade.
            case connectionHeader = "connection_header"
            /// No Sec-WebSocket-Version, or several.
            case versionMissing = "version_missing"
            /// Another Sec-WebSocket-Version than 13.
            case versionUnsupported = "version_unsupported"
            /// No Sec-WebSocket-Key, several, or not 16 bytes in base 64.
            case key
            /// Sec-WebSocket-Protocol is not a list of different tokens.
            case protocolSyntax = "protocol_syntax"
            /// No subprotocol in common where one is required.
            case noCommonProtocol = "no_common_protocol"
            /// Several Origin fields.
            case origin
        }

        /// The rule that was broken.
        public let reason: Reason
        /// One sentence for people.
        public let description: String
        /// The status of the answer: 400, 405 or 426.
        public let status: Int
        /// Fields that the answer needs.
        public let headers: [(name: String, value: String)]

        init(_ reason: Reason, _ description: String, status: Int = 400, headers: [(String, String)] = []) {
            self.reason = reason
            self.description = description
            self.status = status
            self.headers = headers.map { (name: $0.0, value: $0.1) }
        }

        /// Refusals are equal if they have the same reason.
        public static func == (left: Refusal, right: Refusal) -> Bool { left.reason == right.reason }

        /// Hashes the reason.
        public func hash(into hasher: inout Hasher) { hasher.combine(reason) }
    }

    /// Checks a request for being a client's handshake (section 4.2.1).
    ///
    /// - Parameters:
    ///   - method: the request's method.
    ///   - isHTTP11: whether the request is HTTP/1.1.
    ///   - headers: its fields.
    ///   - protocols: the subprotocols that are spoken here. The client's order of preference decides.
    ///   - protocolRequired: whether a client that offers none of them is refused.
    public static func checkRequest(
        method: String, isHTTP11: Bool = true, headers: HeaderLookup, protocols: [String] = [],
        protocolRequired: Bool = false
    ) -> Result<Request, Refusal> {
        do throws(Refusal) {
            try checkUpgrade(method: method, isHTTP11: isHTTP11, headers: headers)
            let key = try readKey(headers("Sec-WebSocket-Key"))
            let hosts = headers("Host")
            guard hosts.count == 1 else { throw Refusal(.host, "the request needs exactly one Host field") }
            let origins = headers("Origin")
            guard origins.count <= 1 else { throw Refusal(.origin, "the request has several Origin fields") }
            let offered = try readProtocols(headers("Sec-WebSocket-Protocol"))
            let selected = offered.first(where: protocols.contains)
            if protocolRequired, selected == nil {
                let known = protocols.joined(separator: ", ")
                throw Refusal(.noCommonProtocol, "offer one of these in Sec-WebSocket-Protocol: \(known)")
            }
            return .success(
                Request(
                    accept: acceptKey(key), host: hosts[0], origin: origins.first, offeredProtocols: offered,
                    selectedProtocol: selected, offeredExtensions: headers("Sec-WebSocket-Extensions")))
        } catch {
            return .failure(error)
        }
    }

    /// The head of the answer that accepts (section 4.2.2): `101 Switching Protocols`, to its empty line.
    ///
    /// - Parameters:
    ///   - request: what `checkRequest` found in order.
    ///   - extraHeaders: further fields; their names are tokens and their values contain no control characters.
    public static func response(
        to request: Request, extraHeaders: [(name: String, value: String)] = []
    ) throws(InvalidHeader) -> [UInt8] {
        var lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: \(request.accept)"]
        if let selected = request.selectedProtocol { lines.append("Sec-WebSocket-Protocol: \(selected)") }
        for header in extraHeaders { lines.append(try headerLine(header)) }
        return head("HTTP/1.1 101 Switching Protocols", lines)
    }

    private static func checkUpgrade(method: String, isHTTP11: Bool, headers: HeaderLookup) throws(Refusal) {
        guard method == "GET" else {
            throw Refusal(
                .methodNotGet, "a WebSocket is opened with GET", status: 405, headers: [("Allow", "GET")])
        }
        let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        guard isHTTP11 else {
            throw Refusal(.httpVersion, "a WebSocket is opened with HTTP/1.1", status: 426, headers: upgrade)
        }
        guard HeaderList.contains("websocket", in: headers("Upgrade")) else {
            throw Refusal(
                .notAnUpgrade, "this is a WebSocket: connect with a WebSocket client", status: 426, headers: upgrade)
        }
        guard HeaderList.contains("upgrade", in: headers("Connection")) else {
            throw Refusal(.connectionHeader, "the Connection field does not name Upgrade")
        }
        let versions = headers("Sec-WebSocket-Version")
        let supported = [("Sec-WebSocket-Version", version)]
        guard versions.count == 1 else {
            throw Refusal(.versionMissing, "send Sec-WebSocket-Version: 13, once", headers: supported)
        }
        guard versions[0] == version else {
            throw Refusal(
                .versionUnsupported, "only Sec-WebSocket-Version 13 is spoken here", status: 426,
                headers: supported + upgrade)
        }
    }

    private static func readKey(_ fields: [String]) throws(Refusal) -> String {
        guard fields.count == 1, fields[0].utf8.count == 24, Base64.decode(fields[0])?.count == 16 else {
            throw Refusal(.key, "Sec-WebSocket-Key must be 16 bytes in base 64, once")
        }
        return fields[0]
    }

    private static func readProtocols(_ fields: [String]) throws(Refusal) -> [String] {
        let offered = HeaderList.elements(fields)
        guard fields.isEmpty || !offered.isEmpty, offered.allSatisfy(HeaderList.isToken) else {
            throw Refusal(.protocolSyntax, "Sec-WebSocket-Protocol must be a list of tokens")
        }
        guard Set(offered).count == offered.count else {
            throw Refusal(.protocolSyntax, "Sec-WebSocket-Protocol names a subprotocol twice")
        }
        return offered
    }
}
