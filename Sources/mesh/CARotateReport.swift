import Arguments
import JSON

/// What the steps of a rotation say when they are done.
enum CARotateReport {
    /// Says what was done, who has it, and what comes next.
    static func say(
        _ context: CommandContext, _ documents: RootDocuments, _ version: UInt64, _ what: String, next: String,
        more: JSONObject = JSONObject()
    ) throws(CommandFailure) -> ExitCode {
        if !context.json { Output.line(DisplayWidth.sanitized("\(what) (trust version \(version))")) }
        let report = try OperatorFiles.reportNodes(
            context, documents.client, besides: (try? documents.revokedNodes()) ?? [])
        var object: JSONObject = ["version": JSONValue(version), "nodes": report.nodes, "next": .string(next)]
        for member in more.members { object[member.key] = member.value }
        context.print(.object(object)) { Output.hanging("Next: \(next)", by: 2) }
        return report.exit
    }

    /// The flag that names a directory that is not the usual one.
    static func place(_ files: CAFiles) -> String {
        files.directory == RootFiles.defaultNext ? "" : " --next \(files.directory)"
    }
}
