/// The keys about how certificates are got, renewed and issued.
enum CATable {
    static let identity: [Field<Configuration>] = [
        .value(
            "identity.join.tokenFile", \.identity.join.tokenFile, .optional(.path),
            "File (mode 0600) with the token of `mesh ca token create`: where there is no certificate yet, the agent makes a "
                + "key and asks the CA for one. Not read any more once there is one.",
            effect: .restart),
        .value(
            "identity.join.patience", \.identity.join.patience, .duration(.zero ... .seconds(86_400)),
            "How long a CA that cannot be reached is waited for at the first start.", effect: .restart),
        .value(
            "identity.renew.enabled", \.identity.renew.enabled, .boolean,
            "Renew the certificate at the mesh's CA, where the node has joined there."),
        .value(
            "identity.renew.address", \.identity.renew.address, .optional(.address([.names])),
            "Where the CA listens.", default: "where the node has joined"),
        .value(
            "identity.renew.caAbsence", \.identity.renew.caAbsence,
            .optional(.duration(.seconds(1) ... .seconds(365 * 86_400))),
            "How long the CA may be away: the certificate is renewed so early that so much of its validity is left.",
            default: "half of the validity"),
        .value(
            "identity.renew.pollInterval", \.identity.renew.pollInterval,
            .duration(.seconds(1) ... .seconds(7 * 86_400)),
            "How often the files of certificate, key and CA certificates are looked at, besides when the kernel tells of a "
                + "change."),
    ]

    static let ca: [Field<Configuration>] =
        files + PassphraseTable.fields("ca.", of: "`ca.key`", effect: .restart).map { $0.inside(\.ca.passphrase) }
        + service

    private static let files: [Field<Configuration>] = [
        .value(
            "ca.certificate", \.ca.certificate, .optional(.path),
            "PEM file with the CA that issues, then those above it up to the root. Makes this node the mesh's CA.",
            effect: .restart),
        .value("ca.key", \.ca.key, .optional(.path), "PEM file with its private key.", effect: .restart),
    ]

    private static let service: [Field<Configuration>] = [
        .value(
            "ca.listen", \.ca.listen, .optional(.address([.anyPort, .wildcard])),
            "Where nodes ask for their certificates, over TLS.", effect: .restart),
        .value(
            "ca.advertise", \.ca.advertise, .optional(.address([.names])),
            "The address at which nodes reach `ca.listen`; it stands in every join token.",
            default: "`ca.listen`, when that is a single address", effect: .restart),
        .value(
            "ca.ttl", \.ca.ttl, .duration(.seconds(2) ... .seconds(365 * 86_400)),
            "How long a node's certificate is valid.", effect: .restart),
        .value(
            "ca.renewExpiredFor", \.ca.renewExpiredFor, .duration(.zero ... .seconds(365 * 86_400)),
            "For so long after its end a certificate can still be renewed, by a host that was off or asleep.",
            effect: .restart),
        .value(
            "ca.store", \.ca.store, .path, "The CA's database: tokens, nodes and their names.",
            default: "ca.sqlite in `node.stateDirectory`", effect: .restart),
    ]
}
