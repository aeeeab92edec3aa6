import Arguments
import HTTP
import JSON

/// `mesh certs`
enum CertsCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "certs", "List every certificate that the agent uses or has seen at its peers, by expiry.",
            discussion: """
                USE says what for: identity (the node's own chain), trust (the CAs that nodes' certificates lead to), edge (a \
                listener's chain), edge_clients (the CAs for its clients), target and target_trust (what is shown to a \
                service's target, and the CAs for it), jwks_trust (the CAs for an issuer's keys), ca (the CA that this node \
                serves), peer (a linked node's). Exit code 6 when one of them has expired, 7 when the end of one is \
                near (30 days, or the last quarter of its life if that is shorter). Under the table stands what is stapled to them \
                (OCSP), where responses are fetched.
                """,
            flags: [.json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/certificates")
        let certificates = answer.elements(of: "certificates")
        context.print(answer) {
            Output.table([long(certificates), short(certificates)], empty: "the agent uses no certificates")
            for certificate in certificates {
                guard let staple = certificate["staple"] else { continue }
                let name = "\(certificate.text(of: "use")) \(certificate.text(of: "name"))"
                if staple["stapled"]?.bool == true {
                    Output.line("\(name): OCSP response until \(staple.text(of: "nextUpdate"))")
                } else {
                    Output.line("\(name): no OCSP response (\(staple["error"]?.string ?? "not fetched yet"))")
                }
            }
        }
        if certificates.contains(where: { $0["valid"]?.bool == false }) { return .certificate }
        return certificates.contains { $0["expiringSoon"]?.bool == true } ? .expiring : .ok
    }

    private static func long(_ certificates: [JSONValue]) -> TextTable {
        var table = TextTable([
            .init("USE", minimumWidth: 8), .init("NAME", minimumWidth: 8), .init("EXPIRES", minimumWidth: 20),
            .init("LEFT", isRightAligned: true, minimumWidth: 6), .init("STATE", minimumWidth: 8),
            .init("SUBJECT", minimumWidth: 8), .init("ROOT", minimumWidth: 8),
        ])
        for certificate in certificates {
            table.append([
                certificate.text(of: "use"), certificate.text(of: "name"), certificate.text(of: "expires"),
                left(certificate),
                state(certificate), certificate.text(of: "subject"), root(certificate),
            ])
        }
        return table
    }

    /// What matters most, for a narrow terminal.
    private static func short(_ certificates: [JSONValue]) -> TextTable {
        var table = TextTable([
            .init("USE", minimumWidth: 8), .init("NAME", minimumWidth: 8),
            .init("LEFT", isRightAligned: true, minimumWidth: 6), .init("STATE", minimumWidth: 8),
        ])
        for certificate in certificates {
            table.append([
                certificate.text(of: "use"), certificate.text(of: "name"), left(certificate), state(certificate),
            ])
        }
        return table
    }

    private static func left(_ certificate: JSONValue) -> String {
        Format.span(seconds: certificate["secondsRemaining"]?.integer)
    }

    /// The root that a certificate is below; where that stands, while a rotation is under way or was.
    private static func root(_ certificate: JSONValue) -> String {
        guard let root = certificate["root"]?.string else { return Format.none }
        return certificate["rootState"]?.string.map { "\(root) (\($0))" } ?? root
    }

    private static func state(_ certificate: JSONValue) -> String {
        if certificate["valid"]?.bool == false { return "expired" }
        return certificate["expiringSoon"]?.bool == true ? "expiring" : "valid"
    }
}
