import COpenSSL

/// The DNS names that certificates below a CA may have (RFC 5280, section 4.2.1.10).
///
/// OpenSSL compares names as they are written, so that `*.example.com` passes where `secret.example.com` is excluded. This
/// compares what names stand for: a wildcard for every name with one label more (RFC 9525, section 6.3), a name with a full stop
/// at its end for the same name without. Constraints of other kinds of names are OpenSSL's alone.
public struct NameConstraints: Sendable, Equatable {
    /// The subtrees in one of which every DNS name must lie; empty where there is no such restriction.
    public let permitted: [String]
    /// The subtrees in none of which a DNS name may lie.
    public let excluded: [String]

    private let permittedTrees: [Subtree]
    private let excludedTrees: [Subtree]

    /// Constraints on DNS names, as certificates have them: `example.com` means that name and every one below it.
    public init(permitted: [String], excluded: [String]) {
        self.permitted = permitted
        self.excluded = excluded
        permittedTrees = permitted.map { Subtree($0) }
        // Wildcards have no place in a constraint; where one excludes, it surely means the names that it covers.
        excludedTrees = excluded.map { Subtree($0.hasPrefix("*.") ? String($0.dropFirst()) : $0) }
    }

    /// Those of a certificate; nil where it has none that concern DNS names.
    init?(of x509: OpaquePointer) {
        guard let found = openssl({ X509_get_ext_d2i(x509, NID_name_constraints, nil, nil) }) else { return nil }
        let constraints = found.assumingMemoryBound(to: NAME_CONSTRAINTS.self)
        defer { pki_constraints_free(constraints) }
        func names(excluded: Bool) -> [String] {
            let which: Int32 = excluded ? 1 : 0
            return (0..<pki_constraints_count(constraints, which)).compactMap { index in
                var length: Int32 = 0
                guard let start = pki_constraints_dns(constraints, which, index, &length) else { return nil }
                return String(decoding: UnsafeBufferPointer(start: start, count: Int(length)), as: UTF8.self)
            }
        }
        let (permitted, excluded) = (names(excluded: false), names(excluded: true))
        guard !permitted.isEmpty || !excluded.isEmpty else { return nil }
        self.init(permitted: permitted, excluded: excluded)
    }

    /// Whether both say the same.
    public static func == (one: NameConstraints, other: NameConstraints) -> Bool {
        one.permitted == other.permitted && one.excluded == other.excluded
    }

    /// Why a DNS name of a certificate is not allowed: the excluded subtree into which it reaches, or the permitted ones, none of
    /// which holds all that it stands for. Nil where it is allowed.
    public func violation(of name: String) -> Violation? {
        let name = Labels(name)
        if let index = excludedTrees.firstIndex(where: { $0.intersects(name) }) { return .excluded(excluded[index]) }
        guard permittedTrees.isEmpty || permittedTrees.contains(where: { $0.contains(name) }) else {
            return .notPermitted(permitted)
        }
        return nil
    }

    /// Why a name is not allowed.
    public enum Violation: Sendable, Equatable, CustomStringConvertible {
        /// It is in this subtree, or covers names that are.
        case excluded(String)
        /// It is, or covers names that are, outside of these subtrees.
        case notPermitted([String])

        /// "excluded: a.example", "permitted: b.example, c.example".
        public var description: String {
            switch self {
            case .excluded(let name): "excluded: \(name)"
            case .notPermitted(let names):
                "permitted: \(names.prefix(4).joined(separator: ", "))\(names.count > 4 ? ", …" : "")"
            }
        }
    }

    /// A DNS name by its labels, the last one first, without regard to ASCII case.
    private struct Labels {
        let reversed: [Substring.UTF8View]

        init(_ text: String) {
            var text = Substring(text.lowercasedASCII)
            if text.hasSuffix(".") { text = text.dropLast() }
            let labels = text.isEmpty ? [] : text.split(separator: ".", omittingEmptySubsequences: false)
            reversed = labels.reversed().map(\.utf8)
        }
    }

    /// A name and all below it; with a full stop in front only those below it, as OpenSSL has it.
    private struct Subtree {
        let base: Labels
        let isOnlyBelow: Bool

        init(_ text: String) {
            isOnlyBelow = text.hasPrefix(".")
            base = Labels(isOnlyBelow ? String(text.dropFirst()) : text)
        }

        /// Whether some name that `name` stands for lies here.
        func intersects(_ name: Labels) -> Bool {
            reaches(name) { $0.contains(0x2A) || $0.elementsEqual($1) }
        }

        /// Whether every name that `name` stands for lies here.
        func contains(_ name: Labels) -> Bool {
            reaches(name) { !$0.contains(0x2A) && $0.elementsEqual($1) }
        }

        private func reaches(
            _ name: Labels, _ fits: (Substring.UTF8View, Substring.UTF8View) -> Bool
        ) -> Bool {
            let depth = base.reversed.count + (isOnlyBelow ? 1 : 0)
            return name.reversed.count >= depth && zip(name.reversed, base.reversed).allSatisfy(fits)
        }
    }
}

extension String {
    /// The text with A to Z in lower case; what is beyond ASCII stays.
    fileprivate var lowercasedASCII: String {
        String(decoding: utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}

extension PeerVerification {
    /// DNS names that the CAs of a chain may not vouch for, wildcards above all. The chain is leaf first.
    ///
    /// Errors: `wildcard_constraint` for a wildcard that reaches too far, `name_constraint` for any other name.
    public static func checkNameConstraints(of chain: [Certificate]) throws(CertificateError) {
        for (index, authority) in chain.enumerated().dropFirst() {
            guard let constraints = authority.constraints.names else { continue }
            for (place, certificate) in chain[..<index].enumerated() {
                // A CA's certificates for itself, as in a change of its key, are no names that it vouches for.
                if place > 0, certificate.hasIssuerName(of: certificate) { continue }
                for name in certificate.dnsNames {
                    guard let violation = constraints.violation(of: name) else { continue }
                    throw .constrained(name, of: certificate, by: authority, violation)
                }
            }
        }
    }
}

extension CertificateError {
    fileprivate static func constrained(
        _ name: String, of certificate: Certificate, by authority: Certificate, _ violation: NameConstraints.Violation
    ) -> CertificateError {
        guard name.contains("*") else {
            return CertificateError(
                .nameConstraint,
                "\(certificate.subject) has the name \(name), for which \(authority.subject) may not vouch (\(violation))",
                hint: "issue it with the CA of that name: \(NewCertificate.commands())")
        }
        return CertificateError(
            .wildcardConstraint,
            "\(certificate.subject) has the name \(name), which also stands for names for which \(authority.subject) may not "
                + "vouch (\(violation))",
            hint: "issue it with the names that are needed instead of the wildcard: mesh ca issue NODE --dns NAME")
    }
}
