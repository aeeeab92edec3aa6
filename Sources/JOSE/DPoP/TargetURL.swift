/// An `https:` or `http:` URL in the form in which two of them are compared (RFC 3986, section 6.2; RFC 9449, section
/// 4.3): lower-case scheme and host, no default port, percent-encoding in upper case and only where it is needed, no query
/// and no fragment. `wss:` counts as `https:`, `ws:` as `http:`: a WebSocket handshake is a request like any other.
struct TargetURL: Hashable, Sendable {
    /// The normal form.
    let text: String

    /// The normal form of an URL; nil for what is none, has user information, or has dot segments (which two readers
    /// could resolve differently).
    init?(_ url: String) {
        guard url.utf8.count <= 4096, url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://")
        else { return nil }
        let scheme: String
        switch url[..<colon].lowercased() {
        case "https", "wss": scheme = "https"
        case "http", "ws": scheme = "http"
        default: return nil
        }
        let rest = url[colon...].dropFirst(3).prefix { $0 != "?" && $0 != "#" }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        guard let authority = Self.authority(String(rest[..<slash]), scheme: scheme),
            let path = Self.path(String(rest[slash...]))
        else { return nil }
        text = "\(scheme)://\(authority)\(path)"
    }

    private static func authority(_ text: String, scheme: String) -> String? {
        var host = text.lowercased()
        guard !host.isEmpty, !host.contains("@"), !host.contains("\\"), !host.contains("%") else { return nil }
        let bracket = host.lastIndex(of: "]") ?? host.startIndex
        if let colon = host[bracket...].lastIndex(of: ":") {
            let port = host[host.index(after: colon)...]
            host = String(host[..<colon])
            if !port.isEmpty {
                guard let number = UInt16(port), String(number) == port, number > 0 else { return nil }
                if number != (scheme == "https" ? 443 : 80) { host += ":\(number)" }
            }
        }
        return host.isEmpty || host.hasPrefix(":") ? nil : host
    }

    private static func path(_ text: String) -> String? {
        var path = ""
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                path.unicodeScalars.append(Unicode.Scalar(byte))
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16), !digits.hasPrefix("+") else {
                return nil
            }
            rest = rest.dropFirst(2)
            if isUnreserved(value) {
                path.unicodeScalars.append(Unicode.Scalar(value))
            } else {
                path += "%" + digits.uppercased()
            }
        }
        guard !path.split(separator: "/").contains(where: { $0 == "." || $0 == ".." }) else { return nil }
        return path.isEmpty ? "/" : path
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
