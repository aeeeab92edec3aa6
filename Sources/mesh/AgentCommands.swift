import Arguments
import HTTP
import JSON

/// `mesh status`
enum StatusCommand {
    static let entry = CommandEntry(
        CommandSpec("status", "Show how the agent on this host is.", flags: [.json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/agent")
        context.print(answer) {
            let ready = answer["ready"]?.bool == true ? "yes" : "no: \(Format.list(answer["reasons"]))"
            let directory = answer["directory"] ?? .null
            let reach = DirectoryReach(answer)
            let reached = reach.isReached ? "reached" : "not reached\(reach.span)"
            let place =
                directory["serves"]?.bool == true
                ? "served here" : directory["node"]?.string.map { "on \($0), \(reached)" } ?? "none configured"
            var fields: [(label: String, value: String)] = [
                ("node", answer.text(of: "node")), ("ready", ready), ("version", answer.text(of: "version")),
                ("up", Format.span(seconds: answer["uptimeSeconds"]?.integer)),
                (
                    "identity",
                    answer["identity"]?["spiffe"]?.string ?? answer["identity"]?.text(of: "commonName") ?? "-"
                ),
                ("expires", answer["identity"]?.text(of: "expires") ?? Format.none),
                ("services", Format.list(answer["principal"]?["services"])),
                ("directory", "\(place); revision \(directory.number(of: "revision"))"),
                ("policy", policy(answer["policy"] ?? .null)),
                ("configuration", answer.text(of: "configuration")),
            ]
            if let failure = answer["failedReload"], !failure.isNull {
                let when = "failed at \(failure.text(of: "at")), the old configuration is in force: "
                fields.append(("last reload", when + failure.text(of: "detail")))
            }
            for refusal in answer.elements(of: "refusedFiles") {
                let when = "\(refusal.text(of: "files")), at \(refusal.text(of: "at")), the old ones are in use: "
                fields.append(("refused", when + refusal.text(of: "detail")))
            }
            Output.fields(fields + predecessor(answer["predecessor"] ?? .null))
            if answer["ready"]?.bool == true, directory["services"]?.integer == 0 {
                Output.note("nothing is registered in the directory yet", next: .register)
            }
        }
        return .ok
    }

    /// The process before this one, while it still has something to finish.
    private static func predecessor(_ predecessor: JSONValue) -> [(String, String)] {
        guard predecessor["running"]?.bool == true else { return [] }
        let process = "process \(predecessor.number(of: "pid")), version \(predecessor.text(of: "version"))"
        return [("took over from", "\(process), which still carries \(predecessor.number(of: "streams")) streams")]
    }

    /// Where the policy in force comes from.
    private static func policy(_ policy: JSONValue) -> String {
        guard let version = policy["version"]?.integer else { return policy.text(of: "file") }
        return "mesh document, version \(version)"
    }
}

/// `mesh whoami`
enum WhoamiCommand {
    static let entry = CommandEntry(
        CommandSpec("whoami", "Show who you are to the policy, and why.", flags: [.json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/whoami")
        context.print(answer) {
            Output.fields(
                [
                    ("principal", answer.text(of: "principal")), ("services", Format.list(answer["services"])),
                    ("groups", Format.list(answer["groups"])), ("permissions", Format.list(answer["permissions"])),
                ]
                    + answer.elements(of: "derivation").compactMap(\.string).enumerated().map { index, step in
                        (index == 0 ? "because" : "", step)
                    })
        }
        return .ok
    }
}

/// `mesh links`
enum LinksCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "links", "List this node's links to other nodes, with the reason where one is not up.",
            discussion: """
                Below the table stands what keeps links from coming up, and which peers' certificates match no pin that is \
                only reported (pin_mismatch). A link whose state is "parked" was lost; its streams wait for the next one. \
                RESUMED counts how often streams went on over a new link, MOVED how often they changed to another link on \
                purpose: another certificate, another address. Where two nodes keep several lanes (links.lanes), each is a \
                line of its own, with its number behind the node's name.
                """,
            flags: [.json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/links")
        context.print(answer) {
            let links = answer.elements(of: "links")
            Output.table(
                [long(links), medium(links), short(links)], empty: "node \(answer.text(of: "node")) has no links")
            for link in links { complain(link) }
        }
        return .ok
    }

    private static func long(_ links: [JSONValue]) -> TextTable {
        var table = TextTable([
            .init("NODE", minimumWidth: 12), .init("STATE", minimumWidth: 11),
            .init("RTT", isRightAligned: true, minimumWidth: 6),
            .init("STREAMS", isRightAligned: true, minimumWidth: 7),
            .init("RECEIVED", isRightAligned: true, minimumWidth: 8),
            .init("SENT", isRightAligned: true, minimumWidth: 8), .init("AGE", minimumWidth: 5),
            .init("RESUMED", isRightAligned: true, minimumWidth: 7),
            .init("MOVED", isRightAligned: true, minimumWidth: 5),
            .init("CLOCK", isRightAligned: true, minimumWidth: 6), .init("REMOTE", minimumWidth: 9),
        ])
        for link in links {
            table.append([
                name(link), link.text(of: "state"),
                Format.roundTrip(microseconds: link["rttMicroseconds"]?.integer), link.number(of: "streams"),
                Format.bytes(link["bytesReceived"]?.integer), Format.bytes(link["bytesSent"]?.integer),
                age(link), link.number(of: "resumptions"), link.number(of: "moves"), clock(link),
                link.text(of: "remote"),
            ])
        }
        return table
    }

    /// The node, and the number of the lane where that is not the first.
    private static func name(_ link: JSONValue) -> String {
        guard let lane = link["lane"]?.integer, lane > 0 else { return link.text(of: "node") }
        return "\(link.text(of: "node"))/\(lane)"
    }

    /// For how long a link has been there, or a session has waited for one.
    private static func age(_ link: JSONValue) -> String {
        Format.span(seconds: (link["ageSeconds"] ?? link["parkedSeconds"])?.integer)
    }

    /// How far the node's clock is ahead of this one's.
    private static func clock(_ link: JSONValue) -> String {
        guard let offset = link["clockOffsetMilliseconds"]?.integer else { return "–" }
        return offset.magnitude < 10_000
            ? "\(offset > 0 ? "+" : "")\(offset)ms" : "\(offset > 0 ? "+" : "")\(offset / 1000)s"
    }

    /// What fits into the 80 columns of most terminals.
    private static func medium(_ links: [JSONValue]) -> TextTable {
        var table = TextTable([
            .init("NODE", minimumWidth: 12), .init("STATE", minimumWidth: 11),
            .init("RTT", isRightAligned: true, minimumWidth: 6),
            .init("STREAMS", isRightAligned: true, minimumWidth: 7),
            .init("RECEIVED", isRightAligned: true, minimumWidth: 8),
            .init("SENT", isRightAligned: true, minimumWidth: 8), .init("AGE", minimumWidth: 5),
            .init("RESUMED", isRightAligned: true, minimumWidth: 7),
        ])
        for link in links {
            table.append([
                name(link), link.text(of: "state"),
                Format.roundTrip(microseconds: link["rttMicroseconds"]?.integer), link.number(of: "streams"),
                Format.bytes(link["bytesReceived"]?.integer), Format.bytes(link["bytesSent"]?.integer), age(link),
                link.number(of: "resumptions"),
            ])
        }
        return table
    }

    /// What matters most, for a narrow terminal.
    private static func short(_ links: [JSONValue]) -> TextTable {
        var table = TextTable([
            .init("NODE", minimumWidth: 8), .init("STATE", minimumWidth: 8),
            .init("RTT", isRightAligned: true, minimumWidth: 6),
            .init("STREAMS", isRightAligned: true, minimumWidth: 7), .init("AGE", minimumWidth: 5),
        ])
        for link in links {
            table.append([
                name(link), link.text(of: "state"),
                Format.roundTrip(microseconds: link["rttMicroseconds"]?.integer), link.number(of: "streams"), age(link),
            ])
        }
        return table
    }

    /// Why a link is not up, or what is wrong with one that is.
    private static func complain(_ link: JSONValue) {
        guard let reason = link["reason"]?.string else { return }
        Output.line("")
        Output.hanging("\(name(link)): \(link["detail"]?.string ?? reason) (\(reason))", by: 2)
        if let hint = link["hint"]?.string { Output.hanging("hint: \(hint)", by: 2) }
    }
}

/// `mesh reload`
enum ReloadCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "reload", "Make the agent read configuration, certificates and policy again.",
            discussion: """
                No connection is touched, except those that a changed policy no longer allows. A configuration that is \
                wrong is refused as a whole (exit code 78), and the old one stays in force.
                """,
            flags: [.json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.post, "/v1/reload")
        context.print(answer) {
            let applied = answer.elements(of: "applied").compactMap(\.string)
            Output.line(
                applied.isEmpty ? "reloaded; no setting changed" : "reloaded: \(applied.joined(separator: ", "))")
            let waiting = answer.elements(of: "needRestart").compactMap(\.string)
            if !waiting.isEmpty { Output.line("only after a restart: \(waiting.joined(separator: ", "))") }
            for note in answer.elements(of: "notes").compactMap(\.string) { Output.note("note: \(note)") }
        }
        return .ok
    }
}
