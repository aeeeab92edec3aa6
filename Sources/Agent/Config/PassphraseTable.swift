/// The keys that say where a passphrase is, the same beside every private key.
enum PassphraseTable {
    /// - Parameters:
    ///   - prefix: what stands before `passphraseFile` in the key.
    ///   - what: what it opens, as documentation has it: "`ca.key`".
    static func fields(
        _ prefix: String, of what: String, effect: ConfigurationChange.Effect = .reload
    ) -> [Field<Configuration.PassphraseSource>] {
        [
            .value(
                "\(prefix)passphraseFile", \.file, .optional(.path),
                "File whose first line is the passphrase of \(what).",
                effect: effect),
            .value(
                "\(prefix)passphraseVariable", \.variable, .optional(.variable),
                "Environment variable that holds the passphrase, instead. It is erased once it was read.",
                effect: effect),
            .value(
                "\(prefix)passphraseCredential", \.credential, .optional(.name("a credential's name", "NAME")),
                "Name of the systemd credential (`LoadCredential=`) that holds the passphrase, instead.", effect: effect
            ),
        ]
    }
}

/// A passphrase that is said in two ways, or for no key.
struct PassphraseCheck {
    /// The keys in question, and what is wrong.
    let key: String
    let message: String
    let hint: String

    /// What is wrong with `source`, whose keys begin with `prefix`; nil for nothing.
    init?(_ source: Configuration.PassphraseSource, _ prefix: String, hasKey: Bool, keyName: String) {
        let given = source.given.map { prefix + $0 }
        guard let first = given.first else { return nil }
        if given.count > 1 {
            (key, message, hint) = (given[1], "excludes \(first)", "say in one way where the passphrase is")
        } else if !hasKey {
            (key, message, hint) = (first, "belongs to no key", "remove it, or set \(keyName)")
        } else {
            return nil
        }
    }
}

extension Codec where Value == String {
    /// The name of an environment variable.
    fileprivate static var variable: Codec {
        .string("the name of a variable", "NAME", pattern: "^[A-Za-z_][A-Za-z0-9_]*$", maximumLength: 255) { text in
            let isLegal =
                text.utf8.allSatisfy { NameRule.isLetterOrDigit($0) || $0 == UInt8(ascii: "_") }
                && text.utf8.first.map { !(0x30...0x39).contains($0) } == true
            return isLegal ? nil : "it has letters, digits and '_', and no digit at its beginning"
        }
    }
}
