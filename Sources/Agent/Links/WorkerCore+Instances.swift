import Directory
import Link

/// Streams to instances that the directory does not show any more.
extension WorkerCore {
    /// An instance that was taken out of the directory (its node drains, its service is deregistered) keeps the streams that it has.
    /// Whoever keeps one for later use, as the edge does between two requests, is told that another instance had better have the
    /// next.
    func instancesChanged() {
        var shown: [String: Set<String>] = [:]
        let carriers = Array(links.values) + Array(retiring.values) + parked.values.map(\.link)
        for case let local? in carriers.flatMap(\.locals) {
            guard let attempt = local.attempt, attempt.isAccepted, !attempt.isToLeave, let observer = attempt.observer,
                let instance = attempt.current?.instance, !instance.isEmpty
            else { continue }
            let known = shown[attempt.service] ?? Set(routing.directory.instances(of: attempt.service).map(\.id))
            shown[attempt.service] = known
            guard !known.contains(instance) else { continue }
            attempt.isToLeave = true
            observer(.leaving)
        }
    }
}
