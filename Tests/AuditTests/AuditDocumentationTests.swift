import Audit
import Foundation
import Testing

/// The table of events in docs/audit.md has exactly those that the audit log can hold.
@Suite struct AuditDocumentationTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Events by category, as the page has them.
    private func published() throws -> [String: Set<String>] {
        let page = try String(contentsOf: Self.root.appendingPathComponent("docs/audit.md"), encoding: .utf8)
        var events: [String: Set<String>] = [:]
        for row in page.matches(of: /\n\| `([a-z]+)` \| (`[^\n]+) \|/) {
            guard AuditCategory(rawValue: String(row.1)) != nil else { continue }
            events[String(row.1)] = Set(row.2.matches(of: /`([a-z_]+)`/).map { String($0.1) })
        }
        return events
    }

    @Test func theTableOfEventsIsComplete() throws {
        var events: [String: Set<String>] = [:]
        for (category, _, names) in SecurityEvent.all { events[category.rawValue, default: []].formUnion(names) }
        // Those of the chain itself; and a record of the agent's log that is a security event for some of its reasons only.
        events["audit", default: []].formUnion(
            [AuditChain.openedEvent, AuditChain.checkpointEvent, AuditChain.removedEvent, AuditChain.lostEvent])
        events["authentication", default: []].insert("dial_failed")
        let published = try published()
        #expect(Set(events.keys) == Set(AuditCategory.allCases.map(\.rawValue)))
        for (category, names) in events {
            let found = published[category] ?? []
            #expect(names.subtracting(found) == [], "missing in docs/audit.md: \(category)")
            #expect(found.subtracting(names) == [], "in docs/audit.md only: \(category)")
        }
    }
}
