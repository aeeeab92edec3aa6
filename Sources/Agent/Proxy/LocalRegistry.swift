import Directory
import EventLoop
import Glibc
import JSON
import PKI
import Policy

/// The services of this node: those of the configuration, and those that were registered while it ran, which are kept
/// over a restart. The agent is authoritative for them; the directory is told.
@ControlPlane
final class LocalRegistry {
    /// One service of this node.
    struct Entry: Sendable, Equatable {
        let service: Configuration.Service
        let target: ServiceTarget
        /// Registered by a command, not by the configuration.
        let isDynamic: Bool
    }

    /// The file of registered services is no larger than this, in bytes: they go to the directory in one request, beside those of
    /// the configuration, and that has a limit of 8 MiB.
    static let maximumFile = 4 << 20
    /// The file's layout; a reader refuses others.
    private static let formatVersion: Int64 = 1

    private let file: String
    private let log: Log
    private let health: HealthChecker
    private(set) var entries: [String: Entry] = [:]
    private var isUnreadable = false
    /// Something changed: a service, or a service's health.
    var changed: @ControlPlane () -> Void = {}

    init(file: String, log: Log) {
        self.file = file
        self.log = log
        health = HealthChecker(log: log)
        health.changed = { [weak self] _ in self?.changed() }
    }

    /// Whether the service's check does not fail.
    func isHealthy(_ service: String) -> Bool { health.isHealthy(service) }

    /// Why it fails; nil where it does not.
    func healthFailure(_ service: String) -> String? { health.failure(service) }

    /// What workers need.
    var routes: [String: LocalService] {
        entries.mapValues { entry in
            LocalService(
                name: entry.service.name, target: entry.target,
                connectTimeout: entry.service.connectTimeout.nanoseconds,
                isHealthy: health.isHealthy(entry.service.name))
        }
    }

    /// What the configuration's services lead to; reads files, and changes nothing.
    nonisolated static func targets(
        of services: [Configuration.Service]
    ) throws(CertificateError) -> [(Configuration.Service, ServiceTarget)] {
        var targets: [(Configuration.Service, ServiceTarget)] = []
        for service in services { targets.append((service, try ServiceTarget(service))) }
        return targets
    }

    /// Takes over the configuration's services; registered ones stay, unless the configuration now names them.
    func configure(_ services: [(Configuration.Service, ServiceTarget)]) {
        var wanted: [String: Entry] = entries.filter { $0.value.isDynamic }
        for (service, target) in services {
            let entry = Entry(service: service, target: target, isDynamic: false)
            // An equal one stays, and with it what was made of its files.
            wanted[service.name] = entries[service.name] == entry ? entries[service.name] : entry
        }
        replace(wanted)
    }

    private func replace(_ wanted: [String: Entry]) {
        for name in entries.keys where wanted[name] == nil { health.forget(name) }
        for (name, entry) in wanted where entries[name] != entry {
            health.watch(name, target: entry.target, check: entry.service.check)
        }
        guard entries != wanted else { return }
        entries = wanted
        changed()
    }

    /// Whether a service of this name can be added: the directory takes no registration with more of them.
    func hasRoom(for name: String) -> Bool { entries[name] != nil || entries.count < ModelLimits.services }

    /// Adds or replaces a registered service. It is on disk when this returns.
    ///
    /// Errors: `too_large` where all of them together are; those of the file.
    func register(_ service: Configuration.Service, target: SocketAddress) throws(CertificateError) {
        var wanted = entries
        wanted[service.name] = Entry(service: service, target: ServiceTarget(target), isDynamic: true)
        try save(wanted)
        replace(wanted)
    }

    /// Removes a registered service.
    /// - Returns: false if there is none of that name.
    func deregister(_ name: String) throws(CertificateError) -> Bool {
        guard entries[name]?.isDynamic == true else { return false }
        var wanted = entries
        wanted[name] = nil
        try save(wanted)
        replace(wanted)
        return true
    }

    /// These services' checks failed until now; they have to succeed before they are used.
    func assumeFailing(_ services: [String]) {
        for service in services { health.assumeFailing(service) }
    }

    /// Stops the checks.
    func stop() { health.stop() }

    // MARK: - The file

    private func save(_ wanted: [String: Entry]) throws(CertificateError) {
        let services = wanted.values.filter(\.isDynamic).sorted { $0.service.name < $1.service.name }
        let document: JSONValue = [
            "version": .integer(Self.formatVersion),
            "services": .array(services.map { ServiceJSON.encode($0.service) }),
        ]
        let bytes = document.serialized(.pretty)
        guard bytes.count <= Self.maximumFile else {
            throw CertificateError(
                .tooLarge,
                "registered services with their metadata are \(bytes.count) bytes, and may be \(Self.maximumFile)",
                hint: "deregister some, or give them less metadata")
        }
        if isUnreadable {
            // What was registered before may be wanted by somebody who can mend the file.
            _ = rename(file, file + ".unreadable")
        }
        try SafeFile.write(bytes, to: file, mode: 0o600)
        isUnreadable = false
    }

    /// Reads what was registered before the restart. A file that cannot be read is reported and left as it is.
    func restore() {
        guard access(file, F_OK) == 0 else { return }
        do {
            let document = try JSONReader.parse(SafeFile.read(file, limit: 16 << 20))
            guard document["version"]?.integer == Self.formatVersion, let list = document["services"]?.array else {
                throw JSONAccessError(
                    code: .wrongType, path: "version", message: "not a registration file of this version")
            }
            var restored = entries
            for item in list {
                let service = try ServiceJSON.decode(item)
                let target = try SocketAddress(parsing: service.target.description)
                if restored[service.name] == nil {
                    restored[service.name] = Entry(
                        service: service, target: ServiceTarget(target), isDynamic: true)
                }
            }
            replace(restored)
        } catch {
            isUnreadable = true
            log.error(
                "registrations_unreadable", "the registered services could not be read; they are not served",
                [("file", .string(file)), ("detail", .string("\(error)"))])
        }
    }
}
