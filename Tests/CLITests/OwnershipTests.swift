import Foundation
import Testing

/// A directory that may be somebody else's: what stands in its mesh.json, and who listens where that leads.
@Suite struct OwnershipTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    /// A user who is neither root nor, as a rule, the one that runs the tests.
    private static let stranger: UInt32 = 65_534

    @Test func aConfigurationThatOthersCanWrite() throws {
        try workspace.write("{ listen: { control: 'there.sock' } }", to: "mesh.json")
        chmod(workspace.path("mesh.json"), 0o646)
        let open = try mesh(["status"], in: workspace)
        #expect(open.status == 3, "\(open.errors)")
        #expect(
            open.errors.contains(
                "everybody may write it (mode 0646) (writable_by_others)\nhint: name the control socket"))
        chmod(workspace.path("mesh.json"), 0o664)
        let own = try mesh(["status"], in: workspace)
        #expect(own.status == 5 && own.errors.contains("there.sock"), "\(own.errors)")
        guard getuid() == 0 else { return }
        chown(workspace.path("mesh.json"), 0, Self.stranger)
        #expect(try mesh(["status"], in: workspace).errors.contains("the group 65534 may write it"))
        chmod(workspace.path("mesh.json"), 0o644)
        chown(workspace.path("mesh.json"), Self.stranger, Self.stranger)
        let foreign = try mesh(["status"], in: workspace)
        #expect(foreign.status == 3 && foreign.errors.contains("it belongs to the user 65534"), "\(foreign.errors)")
        // Who names a socket does not ask the file.
        #expect(try mesh(["--control", "there.sock", "status"], in: workspace).status == 5)
    }

    @Test(.enabled(if: getuid() == 0, "it needs root, to listen as somebody else"))
    func aSocketOfAnotherUser() throws {
        try workspace.write("{ listen: { control: 'there.sock' } }", to: "mesh.json")
        let listener = Process()
        listener.executableURL = URL(fileURLWithPath: "/usr/bin/perl")
        // Ends with its standard input.
        listener.arguments = [
            "-e",
            """
            use Socket; $| = 1; socket(S, PF_UNIX, SOCK_STREAM, 0) or die; bind(S, sockaddr_un($ARGV[0])) or die;
            $) = $> = $ARGV[1]; listen(S, 5) or die; print "listening\\n";
            while (1) { vec($r = '', fileno(S), 1) = 1; vec($r, 0, 1) = 1; select($r, undef, undef, undef);
              last if vec($r, 0, 1); accept(C, S); close(C) }
            """,
            workspace.path("there.sock"), "\(Self.stranger)",
        ]
        let (input, output) = (Pipe(), Pipe())
        listener.standardInput = input
        listener.standardOutput = output
        try listener.run()
        defer {
            try? input.fileHandleForWriting.close()
            listener.waitUntilExit()
        }
        try #require(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) == "listening\n")
        let led = try mesh(["status"], in: workspace)
        #expect(led.status == 3, "\(led.errors)")
        #expect(led.errors.contains("where the user 65534 listens, who is neither root nor this one (foreign_socket)"))
        #expect(led.errors.contains("--control there.sock"))
        let named = try mesh(["--control", "there.sock", "status"], in: workspace)
        #expect(named.status == 5 && named.errors.contains("the agent closed the connection"), "\(named.errors)")
    }
}
