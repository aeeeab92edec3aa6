import PKI

/// Where passphrases come from.
enum PassphraseSource {
    /// The passphrase in a file.
    static func file(_ path: String) throws(CommandFailure) -> Passphrase {
        do throws(CertificateError) {
            return try Passphrase.load(file: path)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// The passphrase in a file, where one is named.
    static func optional(_ path: String?) throws(CommandFailure) -> Passphrase? {
        guard let path else { return nil }
        return try file(path)
    }

    /// A new passphrase, asked for twice. `options` are the flags to use where nobody can be asked.
    static func askNew(_ what: String, options: String) throws(CommandFailure) -> Passphrase {
        guard Terminal.canAsk else {
            throw CommandFailure(
                .usage, "no_passphrase", "\(what) needs a passphrase, and there is no terminal to ask for one",
                hint: "give \(options)")
        }
        while true {
            let first = try ask("Passphrase for \(what): ")
            guard first.count > 0 else {
                Output.note("An empty passphrase protects nothing; for none at all there is an option: \(options)")
                continue
            }
            let second = try ask("Once more: ")
            if first.hasSameBytes(as: second) { return first }
            Output.note("They differ. Again:")
        }
    }

    /// Opens something that may be encrypted: without a passphrase, with that of `file`, or with one that is asked for
    /// up to three times.
    static func open<Value>(
        _ what: String, file: String?, flag: String, _ body: (Passphrase?) throws(CertificateError) -> Value
    ) throws(CommandFailure) -> Value {
        let given = if let file { try Self.file(file) } else { Passphrase?.none }
        do throws(CertificateError) {
            return try body(given)
        } catch {
            guard error.reason == .badPassphrase, given == nil else { throw CommandFailure(error) }
        }
        guard Terminal.canAsk else {
            throw CommandFailure(
                .certificate, CertificateReason.badPassphrase.rawValue,
                "\(what) is encrypted, and there is no terminal to ask for its passphrase",
                hint: "put the passphrase into a file (mode 0600) and give \(flag) FILE")
        }
        for _ in 0..<3 {
            let passphrase = try ask("Passphrase of \(what): ")
            do throws(CertificateError) {
                return try body(passphrase)
            } catch {
                guard error.reason == .badPassphrase else { throw CommandFailure(error) }
                Output.note("That is not its passphrase.")
            }
        }
        throw CommandFailure(
            .certificate, CertificateReason.badPassphrase.rawValue, "the passphrase does not open \(what)",
            hint: "look the passphrase up; a CA whose passphrase is lost has to be made anew: mesh ca init")
    }

    private static func ask(_ prompt: String) throws(CommandFailure) -> Passphrase {
        guard let passphrase = Terminal.askPassphrase(prompt) else {
            throw CommandFailure(.failure, "no_passphrase", "no passphrase was given")
        }
        return passphrase
    }
}

extension Passphrase {
    fileprivate func hasSameBytes(as other: Passphrase) -> Bool {
        withBytes { own in other.withBytes { own.elementsEqual($0) } }
    }
}
