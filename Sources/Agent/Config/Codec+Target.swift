import JSON

extension Codec where Value == Configuration.Target {
    /// Where a service accepts connections.
    static var target: Codec {
        let words = "an address HOST:PORT or unix:PATH, or a URL https://HOST:PORT, wss://… or tls://…"
        let address = Codec<Configuration.Address>.address([.names, .unix])
        return Codec(
            decode: { node, decoding in
                guard let text = node.string, text.contains("://") else {
                    return address.decode(node, &decoding).map(Configuration.Target.init)
                }
                return decoding.parsed(text, at: node, as: words) { (_) throws(Configuration.Address.ParseError) in
                    let target = try Configuration.Target(parsing: text)
                    guard target.address.port != 0, !target.address.isWildcard else {
                        throw .init(message: "it names no single port of a single host", hint: nil)
                    }
                    return target
                }
            },
            encode: { .string($0.description) },
            form: ValueForm(
                words: words,
                schema: ["type": "string", "pattern": "^((https|wss|tls)://.+|.+:[0-9]{1,5}|unix:.+)$"],
                placeholder: "ADDRESS or URL"))
    }
}
