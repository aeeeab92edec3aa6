import Arguments
import Documents
import EventLoop
import Glibc
import JSON
import PKI

/// `mesh ca rotate prepare`
enum CARotatePrepareCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "prepare", "Begin to replace the mesh's root: make the next one, and let every node trust it.",
            discussion: """
                Makes a root in --next (or takes the one that mesh ca init has made there), with an intermediate where \
                the present CA has one. Both roots sign each other, so that nodes which know only one of them accept \
                the other's, for --late-for. The list of both, signed by the present root, travels to every node. \
                Nothing is issued below the next root yet.
                """,
            flags: [
                FlagSpec(
                    "ca-dir", .path, placeholder: "DIR", "Where the present root's files are, with its key.",
                    default: CAFiles.defaultDirectory),
                FlagSpec(
                    "name", .string, placeholder: "NAME",
                    "The next root's common name; default: that of the present one, and a number."),
                FlagSpec("algorithm", .choice(KeyAlgorithm.allCases.map(\.rawValue)), "Kind of key.", default: "p256"),
                FlagSpec("days", .integer(1...36_500), "How long the next root is valid.", default: "3650"),
                FlagSpec(
                    "late-for", .duration,
                    "How long the roots vouch for each other: so long a node may be away and still come back by itself.",
                    default: "90d"),
                FlagSpec(switch: "intermediate", "Also make an intermediate CA that issues."),
            ] + RootFiles.flags,
            examples: [
                .init("mesh ca rotate prepare", "certs/ is the present CA, certs-next/ becomes the next one"),
                .init("mesh ca rotate status", "who has it"),
            ])
    ) { (context) throws(CommandFailure) in
        let present = CAFiles(context.invocation.string("ca-dir") ?? CAFiles.defaultDirectory)
        let documents = try RootDocuments(context, present, begins: true)
        let files = RootFiles.next(context)
        let (old, passphrase) = try RootFiles.load(present, context)
        let entries = try before(documents, old.root)
        let withIntermediate =
            context.invocation.isOn("intermediate") || access(present.intermediate.certificate, F_OK) == 0
        let next = try makeNext(context, files, old, entries, passphrase, withIntermediate: withIntermediate)
        let list: RootList
        do throws(CertificateError) {
            let now = Clock.unixSeconds()
            let validity = context.seconds("late-for") ?? CertificateAuthority.defaultCrossValidity
            let crossSigned = [
                try old.crossSign(next.root, validity: validity, now: now),
                try next.crossSign(old.root, validity: validity, now: now),
            ]
            do throws(CommandFailure) {
                list = try documents.changed(
                    entries + [RootList.Entry(next.root, .prepared)], adding: crossSigned)
            } catch {
                throw CertificateError(.badRequest, error.what, hint: error.hint ?? "")
            }
        } catch {
            throw CommandFailure(error)
        }
        let version = try documents.publish(list, signedBy: old, alsoBeside: [files])
        return try CARotateReport.say(
            context, documents, version, "prepared the root \(next.root.subject) in \(files.directory)",
            next: "mesh ca rotate activate\(CARotateReport.place(files)), once every node has the list "
                + "(mesh ca rotate status)")
    }

    /// The roots of the list so far; that of this CA where there is none.
    private static func before(
        _ documents: RootDocuments, _ root: Certificate
    ) throws(CommandFailure) -> [RootList.Entry] {
        guard let list = documents.list else { return [RootList.Entry(root, .active)] }
        if let other = list.entries.first(where: { $0.state == .prepared || $0.state == .retiring }) {
            let step = other.state == .prepared ? "activate" : "retire"
            throw CommandFailure(
                .failure, "rotation_under_way", "the root \(other.certificate.subject) is \(other.state.rawValue)",
                hint: "finish the rotation that was begun: mesh ca rotate \(step)")
        }
        guard list.active.spkiSHA256 == root.spkiSHA256 else {
            throw CommandFailure(
                .failure, "not_the_active_root",
                "the mesh's active root is \(list.active.subject), and this is \(root.subject)",
                hint: "say where the active root's files are: --ca-dir DIR")
        }
        return list.entries
    }

    /// The next root: one that is in its directory already, or a new one.
    private static func makeNext(
        _ context: CommandContext, _ files: CAFiles, _ old: CertificateAuthority, _ entries: [RootList.Entry],
        _ passphrase: Passphrase?, withIntermediate: Bool
    ) throws(CommandFailure) -> CertificateAuthority {
        let algorithm = KeyAlgorithm(rawValue: context.invocation.string("algorithm") ?? "") ?? .p256
        if access(files.root.certificate, F_OK) == 0 {
            // A step that was cut short before is taken up where it stopped.
            let (root, used) = try RootFiles.load(files, context)
            if withIntermediate { try completeIntermediate(files, root, algorithm, used) }
            return root
        }
        let name = context.invocation.string("name") ?? freeName(old.root, entries)
        try files.prepare()
        do throws(CertificateError) {
            let root = try CertificateAuthority.createRoot(
                name: name, algorithm: algorithm, trustDomain: old.trustDomain,
                validity: Int64(context.invocation.integer("days") ?? 3650) * 86_400, now: Clock.unixSeconds())
            try root.write(
                certificateFile: files.root.certificate, keyFile: files.root.key, passphrase: passphrase)
            if withIntermediate { try makeIntermediate(files, root, algorithm, passphrase) }
            return root
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Makes the intermediate of a root that is there already, unless that is there too.
    private static func completeIntermediate(
        _ files: CAFiles, _ root: CertificateAuthority, _ algorithm: KeyAlgorithm, _ passphrase: Passphrase?
    ) throws(CommandFailure) {
        let pair = files.intermediate
        guard access(pair.certificate, F_OK) != 0 || access(pair.key, F_OK) != 0 else { return }
        do throws(CertificateError) {
            try makeIntermediate(files, root, algorithm, passphrase)
        } catch {
            throw CommandFailure(error)
        }
    }

    private static func makeIntermediate(
        _ files: CAFiles, _ root: CertificateAuthority, _ algorithm: KeyAlgorithm, _ passphrase: Passphrase?
    ) throws(CertificateError) {
        let name = root.root.commonName ?? "CA"
        let below = "\(String(name.prefix(64 - " intermediate".count))) intermediate"
        // Half of a pair is of no use to anybody.
        try root.createIntermediate(name: below, algorithm: algorithm, now: Clock.unixSeconds()).write(
            certificateFile: files.intermediate.certificate, keyFile: files.intermediate.key, passphrase: passphrase,
            replace: true)
    }

    /// The present root's name with the next number that no root has.
    private static func freeName(_ root: Certificate, _ entries: [RootList.Entry]) -> String {
        var base = root.commonName ?? "CA"
        if let space = base.lastIndex(of: " "), Int(base[base.index(after: space)...]) != nil {
            base = String(base[..<space])
        }
        base = String(base.prefix(56))
        let taken = Set(entries.compactMap(\.certificate.commonName))
        return (2...).lazy.map { "\(base) \($0)" }.first { !taken.contains($0) } ?? base
    }
}
