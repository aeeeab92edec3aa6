import PKI

extension Codec where Value == String {
    /// A pin: `spki-sha256:…` or `cert-sha256:…`.
    static var pin: Codec {
        .string("a pin", "PIN", pattern: "^(spki|cert)-sha256:", maximumLength: 128) { text in
            do throws(CertificateError) {
                _ = try CertificatePin(parsing: text)
                return nil
            } catch {
                return error.hint
            }
        }
    }
}

extension Codec where Value == [String] {
    /// Pins, one of which must match.
    static var pins: Codec { .list(.pin, "a list of pins", orOne: true) }

    /// Names of cipher suites or groups, as OpenSSL has them; which ones there are is the profile's affair.
    static var algorithms: Codec {
        .list(
            .string("a name", "NAME", pattern: "^[A-Za-z0-9_-]{1,64}$", maximumLength: 64), "a list of names",
            orOne: true)
    }
}

extension PinPolicy.Rule {
    /// A rule as it is configured.
    ///
    /// - Throws: `bad_pin`, which a loaded configuration has been checked for.
    init(
        node: String?, _ pins: [String], _ mode: Configuration.PinMode, holdsForServers: Bool = false
    ) throws(CertificateError) {
        var parsed: [CertificatePin] = []
        for pin in pins { parsed.append(try CertificatePin(parsing: pin)) }
        self.init(
            node: node, pins: parsed, mode: mode == .enforce ? .enforce : .report, holdsForServers: holdsForServers)
    }
}

extension PinPolicy {
    /// The pins of links.
    init(_ configured: [Configuration.Pins]) throws(CertificateError) {
        var rules: [Rule] = []
        for entry in configured { rules.append(try Rule(node: entry.node, entry.pins, entry.mode)) }
        self.init(rules: rules)
    }
}
