extension Handshake {
    /// A part of a request or response head that cannot be written: it would break the head, or contradict it.
    public struct InvalidHeader: Error, Sendable, Hashable, CustomStringConvertible {
        /// Which part, for example the field's name.
        public let part: String

        /// One sentence for people.
        public var description: String { "\(part) cannot be sent in a WebSocket handshake" }
    }

    /// Why a server's answer does not open a WebSocket (section 4.1); the transport is to be closed.
    public enum ResponseError: Error, Sendable, Hashable, CustomStringConvertible {
        /// Another status than 101: a refusal, a redirect or something that is no WebSocket.
        case status(Int)
        /// `Upgrade` is not websocket.
        case upgradeHeader
        /// `Connection` does not name upgrade.
        case connectionHeader
        /// `Sec-WebSocket-Accept` is missing, doubled, or not the one for our key: no WebSocket server answered this
        /// request.
        case accept
        /// The server chose a subprotocol that was not offered, or several.
        case protocolNotOffered(String)
        /// The server chose none of the offered subprotocols, but one is required.
        case protocolMissing
        /// The server chose extensions that were not offered.
        case extensionNotOffered(String)

        /// The stable code for logs.
        public var code: String {
            switch self {
            case .status: "status"
            case .upgradeHeader: "upgrade_header"
            case .connectionHeader: "connection_header"
            case .accept: "accept"
            case .protocolNotOffered: "protocol_not_offered"
            case .protocolMissing: "protocol_missing"
            case .extensionNotOffered: "extension_not_offered"
            }
        }

        /// One sentence for people.
        public var description: String {
            switch self {
            case .status(let status): "the server answered \(status) instead of 101 Switching Protocols"
            case .upgradeHeader: "the server's Upgrade field is not websocket"
            case .connectionHeader: "the server's Connection field does not name Upgrade"
            case .accept: "the server's Sec-WebSocket-Accept does not belong to our key"
            case .protocolNotOffered(let name): "the server chose the subprotocol \(name), which was not offered"
            case .protocolMissing: "the server speaks none of the offered subprotocols"
            case .extensionNotOffered(let name): "the server chose the extension \(name), which was not offered"
            }
        }
    }

    /// A server's answer that is in order.
    public struct Response: Sendable, Hashable {
        /// The subprotocol that the server chose.
        public let selectedProtocol: String?
        /// The extensions that the server chose, as it wrote them; empty unless extensions were offered.
        public let extensions: [String]
    }

    /// The head of a client's request (section 4.1), to its empty line.
    ///
    /// - Parameters:
    ///   - host: the `Host` field: name or address, and the port unless it is the scheme's own.
    ///   - path: path and query; begins with a slash and has no spaces.
    ///   - protocols: the subprotocols to offer, the preferred one first.
    ///   - key: from `key(random:)`; keep it for `checkResponse`.
    ///   - extraHeaders: further fields, such as Origin or Authorization; none that this function writes itself.
    public static func clientRequest(
        host: String, path: String, protocols: [String] = [], key: String,
        extraHeaders: [(name: String, value: String)] = []
    ) throws(InvalidHeader) -> [UInt8] {
        guard path.utf8.first == UInt8(ascii: "/"), path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw InvalidHeader(part: "the path")
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw InvalidHeader(part: "the host")
        }
        guard protocols.allSatisfy(HeaderList.isToken), Set(protocols).count == protocols.count else {
            throw InvalidHeader(part: "the list of subprotocols")
        }
        var lines = [
            "Host: \(host)", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: \(key)",
            "Sec-WebSocket-Version: \(version)",
        ]
        if !protocols.isEmpty { lines.append("Sec-WebSocket-Protocol: \(protocols.joined(separator: ", "))") }
        for header in extraHeaders { lines.append(try headerLine(header)) }
        return head("GET \(path) HTTP/1.1", lines)
    }

    /// Checks a server's answer to our handshake (section 4.1).
    ///
    /// - Parameters:
    ///   - status: its status.
    ///   - headers: its fields.
    ///   - key: the `Sec-WebSocket-Key` of our request.
    ///   - protocols: the subprotocols that we offered.
    ///   - protocolRequired: whether an answer that chooses none of them is refused.
    ///   - offeredExtensions: whether our request offered extensions (only a gateway's does).
    public static func checkResponse(
        status: Int, headers: HeaderLookup, key: String, protocols: [String] = [], protocolRequired: Bool = false,
        offeredExtensions: Bool = false
    ) -> Result<Response, ResponseError> {
        guard status == 101 else { return .failure(.status(status)) }
        let upgrade = HeaderList.elements(headers("Upgrade"))
        guard upgrade.count == 1, HeaderList.lowercased(upgrade[0]) == "websocket" else {
            return .failure(.upgradeHeader)
        }
        guard HeaderList.contains("upgrade", in: headers("Connection")) else { return .failure(.connectionHeader) }
        let accepts = headers("Sec-WebSocket-Accept")
        guard accepts.count == 1, HeaderList.trimmed(Substring(accepts[0])) == acceptKey(key) else {
            return .failure(.accept)
        }
        let chosen = headers("Sec-WebSocket-Protocol")
        if let name = chosen.first {
            guard chosen.count == 1, protocols.contains(name) else {
                return .failure(.protocolNotOffered(chosen.joined(separator: ", ")))
            }
        } else if protocolRequired {
            return .failure(.protocolMissing)
        }
        let extensions = headers("Sec-WebSocket-Extensions")
        if !offeredExtensions, !HeaderList.elements(extensions).isEmpty {
            return .failure(.extensionNotOffered(extensions.joined(separator: ", ")))
        }
        return .success(Response(selectedProtocol: chosen.first, extensions: extensions))
    }

    /// The fields that the handshake itself writes.
    private static let ownFields: Set<String> = [
        "host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
        "sec-websocket-accept", "content-length", "transfer-encoding",
    ]

    static func headerLine(_ header: (name: String, value: String)) throws(InvalidHeader) -> String {
        guard HeaderList.isToken(header.name), !ownFields.contains(HeaderList.lowercased(header.name)),
            HeaderList.isFieldValue(header.value)
        else { throw InvalidHeader(part: "the field \(header.name)") }
        return "\(header.name): \(header.value)"
    }

    static func head(_ start: String, _ lines: [String]) -> [UInt8] {
        Array((([start] + lines).joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }
}
