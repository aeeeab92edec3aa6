import Arguments
import Bytes
import EventLoop
import JOSE
import JSON
import PKI

/// `mesh token init`
enum TokenInitCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "init", "Make a local issuer of tokens.",
            discussion: """
                Writes its name and a new Ed25519 key to one file, mode 0600. For development and small teams; whoever \
                reads the file can make tokens for everybody.
                """,
            flags: [
                FlagSpec(
                    "issuer", .string, placeholder: "NAME",
                    "What its tokens say in iss: an URL by custom; it cannot be changed later.", isRequired: true),
                FlagSpec("key", .path, "Where the file goes.", default: TokenFiles.issuer),
                FlagSpec(switch: "force", "Replace a file that exists. Tokens of the old key are worth nothing then."),
                .json,
            ],
            examples: [.init("mesh token init --issuer https://tokens.example", "writes token-issuer.json")])
    ) { (context) throws(CommandFailure) in
        let path = context.invocation.string("key") ?? TokenFiles.issuer
        try CAFiles.refuseExisting(
            [path], replace: context.invocation.isOn("force"),
            hint: "name another file with --key, or replace it for good with --force")
        let issuer: TokenIssuer
        let text: [UInt8]
        do throws(JOSEError) {
            issuer = try TokenIssuer.make(name: context.invocation.string("issuer") ?? "")
            text = try issuer.fileText()
        } catch {
            throw CommandFailure(error)
        }
        try TokenFiles.write(text, to: path, mode: 0o600)
        let keyID = issuer.publicKey.keyID ?? ""
        context.print(["issuer": .string(issuer.name), "key": .string(path), "kid": .string(keyID)]) {
            Output.line("Made the issuer \(issuer.name), key \(keyID):")
            Output.fields(
                [(path, "its name and private key, for edge.authentication.localIssuer.key; keep it secret")], indent: 2
            )
            Output.line("Next: mesh token issue --key \(ShellWord.quoted(path)) --subject NAME --audience EDGE")
        }
        return .ok
    }
}

/// `mesh token jwks`
enum TokenKeysCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "jwks", "Print the local issuer's public keys (JWKS).",
            discussion:
                "For an edge elsewhere that trusts this issuer; an edge that has the issuer's file serves them itself.",
            flags: [FlagSpec("key", .path, "The issuer's file.", default: TokenFiles.issuer)],
            examples: [.init("mesh token jwks > jwks.json", "the file for authentication.issuers[].jwks.file")])
    ) { (context) throws(CommandFailure) in
        let issuer = try TokenFiles.issuer(context.invocation.string("key") ?? TokenFiles.issuer)
        do throws(JOSEError) {
            Output.json(try issuer.keySet.json)
        } catch {
            throw CommandFailure(error)
        }
        return .ok
    }
}

/// `mesh token issue`
enum TokenIssueCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "issue", "Make a token with the local issuer.",
            discussion: """
                Prints the token and nothing else, so that it can go into a file. Make that file readable by you only: \
                umask 077.
                """,
            flags: [
                FlagSpec("subject", .string, placeholder: "NAME", "Whom it is for (sub).", isRequired: true),
                FlagSpec(
                    "audience", .string, placeholder: "NAME", "Who is to accept it (aud): the edge's audience.",
                    isRequired: true, isRepeated: true),
                FlagSpec("ttl", .duration, "How long it counts.", default: "1h"),
                FlagSpec("scope", .string, placeholder: "SCOPE", "A scope that it has.", isRepeated: true),
                FlagSpec(
                    "claim", .string, placeholder: "NAME=VALUE", "A further claim; of one name several make a list.",
                    isRepeated: true),
                FlagSpec("key", .path, "The issuer's file.", default: TokenFiles.issuer),
                FlagSpec("dpop-key", .path, "Bind it to this key of mesh token dpop (cnf.jkt)."),
                FlagSpec("certificate", .path, "Bind it to this client certificate (cnf.x5t#S256)."), .json,
            ],
            examples: [
                .init(
                    "mesh token issue --subject alice --audience edge --claim groups=staff > token",
                    "a token for an hour"),
                .init(
                    "mesh token issue --subject ci --audience edge --dpop-key dpop.key",
                    "a token that is worth nothing without dpop.key"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let issuer = try TokenFiles.issuer(invocation.string("key") ?? TokenFiles.issuer)
        var request = TokenRequest(
            subject: invocation.string("subject") ?? "", audiences: invocation.strings("audience"),
            lifetime: context.seconds("ttl") ?? 3600, scopes: invocation.strings("scope"))
        for (name, values) in try context.pairs("claim") {
            request.claims[name] = values.count == 1 ? .string(values[0]) : JSONValue(values)
        }
        if let file = invocation.string("dpop-key") {
            request.dpopThumbprint = try TokenDPoPCommand.key(file).publicKey.thumbprint
        }
        if let file = invocation.string("certificate") {
            request.certificateThumbprint = try thumbprint(file)
        }
        let now = Clock.unixSeconds()
        let token: String
        do throws(JOSEError) {
            token = try issuer.issue(request, at: now, random: TokenFiles.random(TokenIssuer.randomBytes))
        } catch {
            throw CommandFailure(error)
        }
        let seen = TokenInspection(token, at: now)
        context.print([
            "token": .string(token), "issuer": .string(issuer.name), "subject": .string(request.subject),
            "jti": .string(seen.tokenID ?? ""), "expires": .string(UTCTime.text(now + request.lifetime)),
        ]) { Output.line(token) }
        return .ok
    }

    /// SHA-256 of the first certificate of a file.
    private static func thumbprint(_ file: String) throws(CommandFailure) -> [UInt8] {
        do throws(CertificateError) {
            let chain = try Certificate.load(file: file)
            return chain.first.flatMap { Hex.decode($0.fingerprintSHA256) } ?? []
        } catch {
            throw CommandFailure(error)
        }
    }
}
