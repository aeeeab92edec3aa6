import JSON

/// What an address may be at its place.
struct AddressRule: OptionSet, Sendable {
    let rawValue: Int

    /// A host name; otherwise only IP addresses (and `localhost`, which is 127.0.0.1).
    static let names = AddressRule(rawValue: 1)
    /// A Unix socket.
    static let unix = AddressRule(rawValue: 2)
    /// Port 0: any free port, for listeners.
    static let anyPort = AddressRule(rawValue: 4)
    /// 0.0.0.0 and ::, for listeners.
    static let wildcard = AddressRule(rawValue: 8)
}

extension Codec where Value == Configuration.Address {
    /// An address as far as `rule` allows it.
    static func address(_ rule: AddressRule) -> Codec {
        let host = rule.contains(.names) ? "HOST:PORT" : "IP:PORT"
        let shape = rule.contains(.unix) ? "\(host) or unix:PATH" : host
        let words = "an address \(shape)"
        return Codec(
            decode: { node, decoding in
                guard let text = node.string else {
                    decoding.wrongType(node, words, hint: "write it like \"127.0.0.1:8080\"")
                    return nil
                }
                return decoding.parsed(text, at: node, as: words) {
                    (decoding) throws(Configuration.Address.ParseError) in
                    let address = try Configuration.Address(parsing: text).resolved(decoding)
                    try check(address, rule)
                    return address
                }
            },
            encode: { .string($0.description) },
            form: ValueForm(
                words: words, schema: ["type": "string", "pattern": "^(.+:[0-9]{1,5}|unix:.+)$"], placeholder: shape))
    }

    private static func check(
        _ address: Configuration.Address, _ rule: AddressRule
    ) throws(Configuration.Address.ParseError) {
        switch address {
        case .unix(let path):
            guard rule.contains(.unix) else {
                throw .init(message: "a Unix socket cannot be used here", hint: nil)
            }
            if let problem = Configuration.Address.socketPathProblem(path) {
                throw .init(message: problem, hint: "use a shorter directory, /run for instance")
            }
        case .host(let host, let port):
            if port == 0, !rule.contains(.anyPort) {
                throw .init(message: "port 0 cannot be dialled", hint: nil)
            }
            if address.isName, !rule.contains(.names) {
                throw .init(message: "\"\(host)\" is a name", hint: "write an IP address of this host")
            }
            if address.isWildcard, !rule.contains(.wildcard) {
                throw .init(message: "\(host) is no single address", hint: nil)
            }
        }
    }
}

extension Configuration.Address {
    /// With a Unix socket's relative path seen from the configuration file.
    fileprivate func resolved(_ decoding: Decoding) -> Configuration.Address {
        guard case .unix(let path) = self, !path.hasPrefix("@") else { return self }
        return .unix(path: decoding.resolved(path))
    }

    /// Why the kernel would not take a socket's path: `sockaddr_un` holds 108 bytes with the final zero.
    static func socketPathProblem(_ path: String) -> String? {
        path.utf8.count <= 107 ? nil : "the socket's path has \(path.utf8.count) bytes, more than 107"
    }
}

extension Decoding {
    /// What `parse` makes of `text`, which stands at `node`; nil where it makes nothing of it, which is reported.
    /// - Parameter words: what is expected.
    mutating func parsed<Value>(
        _ text: String, at node: JSONNode, as words: String,
        _ parse: (Decoding) throws(Configuration.Address.ParseError) -> Value
    ) -> Value? {
        do throws(Configuration.Address.ParseError) {
            return try parse(self)
        } catch {
            report(
                .badValue, at: node.position, "expected \(words), found \"\(text)\": \(error.message)", hint: error.hint
            )
            return nil
        }
    }
}
