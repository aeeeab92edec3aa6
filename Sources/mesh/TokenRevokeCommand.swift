import Arguments
import EventLoop
import JOSE
import JSON
import PKI

/// `mesh token revoke`
enum TokenRevokeCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "revoke", "Revoke a token, or all tokens of a subject.",
            discussion: """
                Adds an entry to the revocation list, which edges watch (authentication.revocations). An entry goes away \
                by itself after --for, or with --token when the token ends; make that no shorter than tokens live.
                """,
            flags: [
                FlagSpec("file", .path, "The revocation list; made if absent.", default: TokenFiles.revocations),
                FlagSpec(
                    "jti", .string, placeholder: "ID", "The token's id.", conflicts: ["subject", "token"]),
                FlagSpec("subject", .string, placeholder: "NAME", "All tokens of this subject.", conflicts: ["token"]),
                FlagSpec("token", .path, "File with the token itself; - for standard input."),
                FlagSpec("issuer", .string, placeholder: "NAME", "Whose token or subject; needed with --subject."),
                FlagSpec(
                    switch: "issued-before-now",
                    "Only tokens of the subject that were issued before: it may come back.",
                    conflicts: ["jti", "token"]),
                FlagSpec("for", .duration, "How long the entry is needed.", default: "90d"),
                FlagSpec("note", .string, placeholder: "TEXT", "Why, for those who read the list."), .json,
            ],
            examples: [
                .init("mesh token revoke --token leaked-token", "this one"),
                .init("mesh token revoke --subject alice --issuer https://tokens.example", "all of alice's"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let path = invocation.string("file") ?? TokenFiles.revocations
        let now = Clock.unixSeconds()
        let (target, expiry) = try target(context, now)
        return try TokenFiles.update(path) { () throws(CommandFailure) in
            var list = RevocationList()
            if TokenFiles.exists(path) {
                let text = try TokenFiles.contents(path, isSecret: false)
                do throws(JOSEError) {
                    list = try RevocationList(reading: text)
                } catch {
                    throw CommandFailure(error, file: path)
                }
            }
            let entry: Revocation
            do throws(JOSEError) {
                entry = try Revocation(target, revokedAt: now, expiresAt: expiry, note: invocation.string("note"))
                try list.add(entry, at: now)
            } catch {
                throw CommandFailure(error)
            }
            try TokenFiles.write(list.text, to: path, mode: 0o644)
            report(context, entry, path, list, expiry)
            return .ok
        }
    }

    private static func report(
        _ context: CommandContext, _ entry: Revocation, _ path: String, _ list: RevocationList, _ expiry: Int64
    ) {
        context.print(["file": .string(path), "revision": .integer(list.revision), "entry": entry.json]) {
            let what =
                switch entry.target {
                case .token(let id, _): "the token \(id)"
                case .subject(let name, let issuer, let before):
                    "\(before == nil ? "all tokens" : "tokens issued so far") of \(name) by \(issuer)"
                }
            Output.line("Revoked \(what), until \(UTCTime.text(expiry)) (\(path))")
        }
    }

    /// What is revoked, and until when the entry is needed.
    private static func target(
        _ context: CommandContext, _ now: Int64
    ) throws(CommandFailure) -> (Revocation.Target, Int64) {
        let invocation = context.invocation
        let issuer = invocation.string("issuer")
        let expiry = now + (context.seconds("for") ?? 90 * 86_400)
        if let id = invocation.string("jti") { return (.token(id: id, issuer: issuer), expiry) }
        if let subject = invocation.string("subject") {
            guard let issuer else {
                throw .usage("--subject needs --issuer", hint: "name the issuer as its tokens do in iss")
            }
            let before = invocation.isOn("issued-before-now") ? now : nil
            return (.subject(subject, issuer: issuer, issuedBefore: before), expiry)
        }
        guard let file = invocation.string("token") else {
            throw .usage(
                "nothing to revoke is named", hint: "give --token FILE, --jti ID, or --subject NAME --issuer NAME")
        }
        let seen = TokenInspection(try TokenFiles.token(file), at: now)
        guard let id = seen.tokenID, let issuer = seen.issuer else {
            throw CommandFailure(
                .failure, "no_token_id", "the token has no jti and iss that it could be revoked by",
                hint: "revoke its subject: --subject NAME --issuer NAME")
        }
        // Until no edge accepts it, whatever its leeway.
        return (.token(id: id, issuer: issuer), seen.expiry.map { $0 + TrustedIssuer.leewayLimit } ?? expiry)
    }
}
