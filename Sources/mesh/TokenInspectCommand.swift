import Arguments
import EventLoop
import JOSE
import JSON
import PKI

/// `mesh token inspect FILE`
enum TokenInspectCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "inspect", "Show what stands in a token, and what is wrong with it.",
            discussion: """
                Trusts nothing: the signature is verified only with --jwks. Exit code 1 when something is wrong. The token \
                itself is never printed.
                """,
            flags: [
                FlagSpec("jwks", .path, "Verify the signature with this key set."),
                FlagSpec("audience", .string, placeholder: "NAME", "Whom it should be for.", isRepeated: true), .json,
            ],
            positionals: [PositionalSpec("FILE", "The file with the token; - for standard input.", .path)],
            examples: [
                .init("mesh token inspect token", "what it says"),
                .init("mesh token inspect - --jwks jwks.json < token", "whether it would be accepted"),
            ])
    ) { (context) throws(CommandFailure) in
        let token = try TokenFiles.token(context.argument("FILE"))
        var keys: KeySet?
        if let file = context.invocation.string("jwks") {
            let text = try TokenFiles.contents(file, isSecret: false)
            do throws(JOSEError) {
                keys = try KeySet(reading: text)
            } catch {
                throw CommandFailure(error, file: file)
            }
        }
        let now = Clock.unixSeconds()
        let seen = TokenInspection(
            token, at: now, audiences: context.invocation.strings("audience"), keys: keys)
        report(context, seen, now)
        return seen.isFaulty ? .failure : .ok
    }

    private static func report(_ context: CommandContext, _ seen: TokenInspection, _ now: Int64) {
        let findings = seen.findings.map { finding -> JSONValue in
            ["reason": finding.reason.map { .string($0.rawValue) } ?? .null, "text": .string(finding.text)]
        }
        context.print([
            "header": seen.header ?? .null, "claims": seen.claims ?? .null,
            "signature": seen.isSignatureGood.map { $0 ? "good" : "bad" } ?? "not verified",
            "findings": .array(findings),
        ]) {
            section("Header", seen.header, now)
            section("Claims", seen.claims, now)
            let signature = seen.isSignatureGood.map { $0 ? "good" : "NOT good" } ?? "not verified (no --jwks)"
            Output.line("Signature: \(signature)")
            for finding in seen.findings {
                let reason = finding.reason.map { " (\($0.rawValue))" } ?? ""
                Output.hanging("\(finding.reason == nil ? "note" : "wrong"): \(finding.text)\(reason)", by: 7)
            }
            if !seen.isFaulty { Output.line("Nothing wrong was found.") }
        }
    }

    private static func section(_ title: String, _ value: JSONValue?, _ now: Int64) {
        guard let members = value?.object?.members else { return Output.line("\(title): cannot be read") }
        Output.line("\(title):")
        Output.fields(
            members.map { member in
                // Whoever made the token chose the names too.
                let name = DisplayWidth.sanitized(member.key)
                let text = member.value.string ?? member.value.text()
                guard ["exp", "nbf", "iat"].contains(member.key), let time = member.value.integer,
                    (0...253_402_300_799).contains(time)
                else { return (name, text) }
                let distance = UTCTime.duration(time - now)
                return (name, "\(UTCTime.text(time)) (\(time < now ? "\(distance) ago" : "in \(distance)"))")
            }, indent: 2)
    }
}
