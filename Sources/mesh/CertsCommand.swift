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
                near (30 days, or the last quarter of its life if that is shorter). SERIAL is as much of the serial number as tells \
                the certificate from the others here, and enough for mesh revoke serial:HEX; --json has all of it. Under the table stands what is stapled to them \
                (OCSP), where responses are fetched.
                """,
            flags: [.json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/certificates")
        let certificates = answer.elements(of: "certificates")
        context.print(answer) {
            Output.table(
                [long(certificates), medium(certificates), short(certificates), shortest(certificates)],
                empty: "the agent uses no certificates")
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

    /// Everything, for a wide terminal or a pipe.
    private static func long(_ certificates: [JSONValue]) -> TextTable {
        table(certificates, [.use, .name, .expires, .left, .state, .serial, .subject, .root])
    }

    /// What fits into the 80 columns of most terminals, names uncut.
    private static func medium(_ certificates: [JSONValue]) -> TextTable {
        table(certificates, [.use, .name, .expires, .left, .state, .serial])
    }

    /// The same where 80 columns are not there.
    private static func short(_ certificates: [JSONValue]) -> TextTable {
        table(certificates, [.use, .name, .left, .state, .serial])
    }

    /// What matters most, for a narrow terminal.
    private static func shortest(_ certificates: [JSONValue]) -> TextTable {
        table(certificates, [.use, .name, .left, .state])
    }

    private enum Column: String {
        case use, name, expires, left, state, serial, subject, root
    }

    private static func table(_ certificates: [JSONValue], _ columns: [Column]) -> TextTable {
        let serials = SerialPrefixes(certificates)
        func cell(_ column: Column, _ certificate: JSONValue) -> String {
            switch column {
            case .use, .name, .expires, .subject: certificate.text(of: column.rawValue)
            case .left: left(certificate)
            case .state: state(certificate)
            case .serial: serials.text(certificate)
            case .root: root(certificate)
            }
        }
        // Uses, times and serial numbers are worth nothing when cut; names and subjects may lose their ends.
        func least(_ column: Column) -> Int {
            let widest = certificates.map { DisplayWidth.of(cell(column, $0)) }.max() ?? 0
            return switch column {
            case .use, .expires, .left, .state, .serial: widest
            case .name: min(widest, columns.contains(.subject) ? 20 : columns.contains(.serial) ? 10 : 6)
            case .subject, .root: min(widest, 16)
            }
        }
        var table = TextTable(
            columns.map { column in
                .init(column.rawValue.uppercased(), isRightAligned: column == .left, minimumWidth: least(column))
            })
        for certificate in certificates { table.append(columns.map { cell($0, certificate) }) }
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
