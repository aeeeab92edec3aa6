import PKI
import TLS

/// Which versions of TLS and which suites the node takes.
struct VersionStage {
    /// How the node took an offer.
    private enum Taken {
        /// It answered with its hello; the suite where it is known.
        case yes(suite: String?)
        case no(PeerAnswer)
        /// OpenSSL here cannot make that offer.
        case cannotOffer
    }

    let dialler: Dialler
    let report: Report
    /// Shown where we have some, so that handshakes go to their end.
    let credentials: Credentials?

    private static let suites13 = [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    ]
    /// Suites of TLS 1.2 that nobody should take any more, by what is wrong with them, as OpenSSL selects them.
    private static let weak12 = [
        ("no encryption", "eNULL"), ("no authentication", "aNULL"),
        ("small or broken ciphers", "LOW:EXPORT:RC4:RC2:DES:3DES:IDEA:SEED"),
        ("CBC mode", "ALL:!AESGCM:!AESCCM:!AESCCM8:!CHACHA20:!ARIAGCM:!eNULL:!aNULL:!kRSA:!kDHE:!kPSK"),
        ("no forward secrecy (RSA key exchange)", "kRSA"), ("DHE over finite fields", "kDHE"),
        ("8-byte tags", "AESCCM8"),
    ]

    func run() {
        report.run(.tls10) { old(.tls10) }
        report.run(.tls11) { old(.tls11) }
        var has12 = false
        report.run(.tls12) {
            switch offer(.tls12) {
            case .yes:
                has12 = true
                return .info("offered, as tls.minimumVersion of the node permits")
            case .no(let answer): return .info("refused: \(answer.text)", answer: answer.text)
            case .cannotOffer: return .skipped("OpenSSL on this host cannot offer TLS 1.2")
            }
        }
        let has13 =
            report.run(.tls13) {
                switch offer(.tls13) {
                case .yes: return .ok("")
                case .no(let answer):
                    return .failed(
                        "refused: \(answer.text)", answer: answer.text, hint: "a node offers TLS 1.3, always")
                case .cannotOffer: return .skipped("OpenSSL on this host cannot offer TLS 1.3")
                }
            } == .ok
        if has13 {
            report.run(.suites13) { list(.tls13) }
            report.run(.weak13) { weakTags13() }
        } else {
            report.skip([.suites13, .weak13], "TLS 1.3 is not offered")
        }
        if has12 {
            report.run(.suites12) { list(.tls12) }
            report.run(.weak12) { weakClasses12() }
        } else {
            report.skip([.suites12, .weak12], "TLS 1.2 is not offered")
        }
    }

    private func old(_ version: TLSVersion) -> Outcome {
        switch offer(version) {
        case .yes(let suite):
            return .failed(
                "the node takes \(version) (\(suite ?? "suite not known"))", answer: "ServerHello",
                hint: "RFC 8996 forbids it; set the minimum version to TLS 1.2 or 1.3")
        case .no(.alert(let alert)): return .ok("alert \(alert.name)", answer: "alert \(alert.name)")
        case .no(.closed(let how)): return .ok(how, answer: how)
        case .no(let answer): return .failed(answer.text, answer: answer.text)
        case .cannotOffer: return .skipped("OpenSSL on this host cannot offer \(version)")
        }
    }

    private func weakTags13() -> Outcome {
        let weak = "TLS_AES_128_CCM_8_SHA256"
        switch offer(.tls13, suites: weak) {
        case .yes:
            return .failed(
                "the node takes \(weak), whose tags have 8 bytes only", answer: "ServerHello", hint: Self.suiteHint)
        case .no(let answer): return .ok("\(answer.text)", answer: answer.text)
        case .cannotOffer: return .skipped("OpenSSL on this host cannot offer weak suites")
        }
    }

    private func weakClasses12() -> Outcome {
        var tried: [String] = []
        var taken: [String] = []
        for (fault, list) in Self.weak12 {
            switch offer(.tls12, list: "\(list):@SECLEVEL=0") {
            case .yes(let suite): taken.append("\(suite ?? list) (\(fault))")
            case .no: tried.append(fault)
            case .cannotOffer: break
            }
        }
        guard taken.isEmpty else {
            return .failed(
                "the node takes \(taken.joined(separator: ", "))", answer: "ServerHello", hint: Self.suiteHint)
        }
        guard !tried.isEmpty else { return .skipped("OpenSSL on this host cannot offer weak suites") }
        return .ok(tried.joined(separator: ", "))
    }

    private static let suiteHint = "only AEAD suites with ECDHE belong on a node's listener"

    /// Every suite that the node takes, in its order: what it chose is left out of the next offer.
    private func list(_ version: TLSVersion) -> Outcome {
        var found: [String] = []
        var left = Self.suites13
        while found.count < 64 {
            let taken =
                version == .tls13
                ? offer(version, suites: left.joined(separator: ":"))
                : offer(
                    version,
                    list: (["ALL:COMPLEMENTOFALL"] + found.map { "!\($0)" } + ["@SECLEVEL=0"]).joined(separator: ":"))
            guard case .yes(let suite?) = taken, !found.contains(suite) else { break }
            found.append(suite)
            left.removeAll { $0 == suite }
            if version == .tls13, left.isEmpty { break }
        }
        return .info(found.isEmpty ? "not known" : found.joined(separator: ", "))
    }

    private func offer(_ version: TLSVersion, list: String? = nil, suites: String? = nil) -> Taken {
        var probe = TLSContext.Probe()
        if let list { probe.cipherList = list }
        if let suites { probe.cipherSuites = suites }
        guard
            let context = try? Dialler.context(
                credentials: credentials, minimum: version, maximum: version, probe: probe)
        else { return .cannotOffer }
        do throws(Dialler.Unreachable) {
            let wire = try dialler.dial(context)
            defer { wire.close() }
            let end = wire.handshake()
            // A server that has only older versions answers with one of those, which the session then refuses.
            if case .failed(let error) = end, wire.wasAnswered, error.code == .noSharedVersion {
                return .no(.closed(how: "answered with another version"))
            }
            if wire.wasAnswered { return .yes(suite: wire.session.cipherName) }
            switch end {
            case .failed(let error) where wire.firstRecord == nil && error.code == .noSharedVersion:
                return .cannotOffer
            case .failed(let error): return .no(PeerAnswer(error, wire))
            case .timedOut, .complete: return .no(.silent)
            }
        } catch {
            return .no(.unreachable(error))
        }
    }
}
