import Agent
import Arguments
import Documents
import HTTP
import JSON
import PKI
import Policy

/// `mesh why --from ID --to SERVICE`
enum WhyCommand {
    /// Where the texts stand in an explanation's lines.
    private static let indentation = 11

    /// How an identity is written, for help and hints.
    static let identities =
        "node:NAME, service:NAME, uid:N, jwt:ISSUER/SUBJECT, key:ID, spiffe://DOMAIN/node/NAME or cn:NAME"

    /// The flags that say what is asked.
    static let question: [FlagSpec] = [
        FlagSpec(
            "from", .string, placeholder: "IDENTITY", "Who asks: \(identities). A bare NAME is a node's.",
            isRequired: true),
        FlagSpec(
            "to", .string, placeholder: "NAME",
            "What for: a service; a node for link and administer; an identity for act-as.", isRequired: true),
        FlagSpec("verb", .choice(Verb.allCases.map(\.rawValue)), "What to do with it.", default: "connect"),
        FlagSpec(
            "attribute", .string, placeholder: "NAME=VALUE", "What the token or key of IDENTITY tells: groups=admins.",
            isRepeated: true),
        FlagSpec(
            "as-node", .string, placeholder: "NODE", "The node that connects in the name of IDENTITY: the edge's node."),
    ]

    static let entry = CommandEntry(
        CommandSpec(
            "why", "Explain who may do what: the decision, the rule, its file and line.",
            discussion: """
                Denied gives exit code 3. About others only administrators may ask. With --policy the file alone \
                answers, and no agent is asked.
                """,
            flags: question + [
                FlagSpec(
                    "at", .string, placeholder: "NODE", "Ask that node, which enforces it.", conflicts: ["policy"]),
                FlagSpec("policy", .path, "Ask this policy file, without an agent."), .json,
            ],
            examples: [
                .init("mesh why --from service:shop --to db", "may the shop connect to db?"),
                .init("mesh why --from node:ACL --to db --verb provide", "may the node ACL serve db?"),
                .init(
                    "mesh why --from key:ci --attribute groups=ci --to web --as-node edge",
                    "may a key's holder connect through the edge?"),
                .init("mesh why --from uid:1000 --to web --policy policy.json", "try a policy before it is in force"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let given = invocation.string("from") ?? ""
        let from = identity(given)
        if from != given, !invocation.isOn("json") {
            Output.note(
                DisplayWidth.sanitized("\(given) is taken for \(from); the identity of a service is service:\(given)"))
        }
        let to = invocation.string("to") ?? ""
        let verb = invocation.string("verb") ?? Verb.connect.rawValue
        let attributes = try attributes(invocation)
        let answer: JSONValue
        if let file = invocation.string("policy") {
            answer = try offline(
                file, from, attributes, asNode: invocation.string("as-node"), to, Verb(rawValue: verb) ?? .connect)
        } else {
            var query = [("from", from), ("to", to), ("verb", verb)]
            query += invocation.strings("attribute").map { ("attribute", $0) }
            if let node = invocation.string("as-node") { query.append(("as-node", node)) }
            if let node = invocation.string("at") { query.append(("at", node)) }
            do throws(CommandFailure) {
                answer = try ControlClient(context).call(.get, "/v1/why?\(HTTPQuery.encode(query))")
            } catch {
                throw NearestName.asked(error, at: invocation.string("at"), context)
            }
        }
        guard let explanation = Explanation(json: answer) else {
            throw CommandFailure(
                .failure, "bad_answer", "the agent's answer is no explanation",
                hint: "do mesh and mesh-agent have the same version? mesh version; mesh status")
        }
        context.print(answer) {
            for line in explanation.text.split(separator: "\n") { Output.hanging(String(line), by: indentation) }
            if let revoked = answer["revoked"] {
                Output.hanging(
                    "  revoked  \(revoked.text(of: "entry")): \(revoked.text(of: "reason")); certificates that it covers get "
                        + "no link, whatever the policy says (mesh revoke --list)", by: indentation)
            }
            if let node = answer["node"]?.string {
                let version = answer["policy"]?["version"]?.integer
                let document = version.map { ", which goes by version \($0) of the mesh's policy" } ?? ""
                Output.hanging("  asked    \(node)\(document)", by: indentation)
            }
        }
        return explanation.allowed ? .ok : .denied
    }

    /// A bare name is a node's.
    static func identity(_ text: String) -> String {
        text.utf8.contains(UInt8(ascii: ":")) || text == "anonymous" ? text : "node:\(text)"
    }

    /// What `--attribute` says, by name.
    static func attributes(_ invocation: Invocation) throws(CommandFailure) -> Subject.Attributes {
        var attributes: Subject.Attributes = [:]
        for text in invocation.strings("attribute") {
            guard let (name, value) = Subject.attribute(text) else {
                throw .usage("\"\(text)\" is no attribute", hint: "write NAME=VALUE: --attribute groups=admins")
            }
            attributes[name, default: []].append(value)
        }
        return attributes
    }

    private static func offline(
        _ file: String, _ from: String, _ attributes: Subject.Attributes, asNode node: String?, _ to: String,
        _ verb: Verb
    ) throws(CommandFailure) -> JSONValue {
        let policy = try PolicyFile.read(file)
        if let node {
            guard let acting = PrincipalID(from), verb == .connect,
                let peer = PrincipalID.node(node).flatMap({ policy.subject($0.description) })
            else {
                throw .usage(
                    "--as-node is a node's name, and for connect by somebody whom a node can name",
                    hint: "write --from jwt:ISSUER/SUBJECT, key:ID, uid:N or service:NAME")
            }
            return policy.authorize(
                policy.principal(for: peer), actingAs: acting, attributes: attributes, .connect, to
            ).explanation.json
        }
        guard var subject = policy.subject(from, attributes: attributes) else {
            throw .usage("\"\(from)\" is no identity", hint: "write \(identities)")
        }
        // A policy that names no trust domain takes every one; a node's certificate has one.
        if case .node(_, nil) = subject, from.hasPrefix("node:") {
            subject = policy.subject(from, trustDomain: CAInitCommand.defaultTrustDomain) ?? subject
        }
        // The host knows the user's name and groups, which a mapping may ask for.
        if case .user(let uid, _, _) = subject, let entry = try? UserDatabase.entry(of: uid) {
            subject = .user(uid: uid, name: entry.name, gids: UserDatabase.groups(of: entry))
        }
        return policy.authorize(policy.principal(for: subject), verb, to).explanation.json
    }
}

/// `mesh authorize --from ID --to SERVICE`
enum AuthorizeCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "authorize", "Ask for a decision as applications do: allowed or denied, and the rule.",
            discussion: "The same as POST /v1/authorize. Denied gives exit code 3; mesh why says more.",
            flags: WhyCommand.question + [.json])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        var attributes = JSONObject()
        var body: JSONObject = [
            "principal": .string(WhyCommand.identity(invocation.string("from") ?? "")),
            "verb": .string(invocation.string("verb") ?? Verb.connect.rawValue),
            "target": .string(invocation.string("to") ?? ""),
        ]
        for (name, values) in try WhyCommand.attributes(invocation) { attributes[name] = JSONValue(values) }
        if !attributes.isEmpty { body["attributes"] = .object(attributes) }
        if let node = invocation.string("as-node") { body["node"] = .string(node) }
        let answer = try ControlClient(context).call(.post, "/v1/authorize", body: .object(body))
        let allowed = answer["allowed"]?.bool == true
        context.print(answer) {
            let rule = answer["rule"]?.string.map { ": \($0)" } ?? ""
            Output.line(
                DisplayWidth.sanitized((allowed ? "allowed" : "denied (\(answer.text(of: "reason")))") + rule))
        }
        return allowed ? .ok : .denied
    }
}

/// `mesh policy check FILE`
enum PolicyCheckCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "check", "Check a policy file; no agent is needed.",
            discussion: """
                A file that cannot be used gives exit code 78; warnings alone give 0. Also says what nobody could do any more \
                if the policy were applied to a mesh: link, be the directory, administer. Where an agent can be reached, names \
                of services that are none that you may discover and are spelt almost like one are warned of, too.
                """, flags: [.json],
            positionals: [PositionalSpec("FILE", "The policy.", .path)])
    ) { (context) throws(CommandFailure) in
        let policy = try PolicyFile.read(context.argument("FILE"))
        let warnings = policy.warnings(registered: NearestName.services(context) ?? [])
        context.print([
            "file": .string(policy.file), "fingerprint": .string(policy.fingerprint),
            "rules": JSONValue(policy.ruleCount), "identities": JSONValue(policy.mappingCount),
            "warnings": .array(
                warnings.map { warning in
                    [
                        "code": .string(warning.code.rawValue), "line": JSONValue(warning.position.line),
                        "column": JSONValue(warning.position.column), "message": .string(warning.message),
                    ]
                }),
            "lockouts": .init(policy.lockouts.map(\.rawValue)),
        ]) {
            for warning in warnings { Output.line("\(warning)") }
            for lockout in policy.lockouts { Output.line("\(policy.file): note: \(lockout.text)") }
            func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
            Output.line(
                "\(policy.file): good; \(count(policy.ruleCount, "rule")), "
                    + "\(count(policy.mappingCount, "identity mapping")), \(count(warnings.count, "warning"))")
        }
        return .ok
    }
}

/// Reads policy files.
enum PolicyFile {
    /// The policy in a file; `-` is not special.
    static func read(_ file: String) throws(CommandFailure) -> PolicyDocument {
        let bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.read(file, limit: SignedDocument.largestPayload)
        } catch {
            guard error.isMissingFile else {
                throw CommandFailure(.configuration, error.code, "\(file): \(error.message)", hint: error.hint)
            }
            throw CommandFailure(error)
        }
        do throws(PolicyError) {
            return try PolicyDocument.parse(bytes, file: file)
        } catch {
            throw CommandFailure(.configuration, error.code.rawValue, "\(error)", hint: "mend that place in the file")
        }
    }
}
