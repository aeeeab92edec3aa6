/// A shell that completion scripts are made for.
public enum CompletionShell: String, Sendable, CaseIterable {
    /// GNU bash, without the bash-completion package.
    case bash
    /// zsh, as a function in `fpath`.
    case zsh
}

extension CommandSpec {
    /// The completion script of the program for a shell; self's name is the program's.
    public func completion(_ shell: CompletionShell) -> String {
        switch shell {
        case .bash: BashCompletion(root: self).script
        case .zsh: ZshCompletion(root: self).script
        }
    }

    /// Every command that is shown, with those around it, outermost first.
    var visibleChains: [[CommandSpec]] {
        [[self]] + visibleSubcommands.flatMap { $0.visibleChains.map { [self] + $0 } }
    }

    /// What is wrong with the table itself, for a test of the program: doubled names, defaults that are not of their
    /// kind, positional arguments that can never be given, conflicts with flags that do not exist.
    public var faults: [String] { faults(above: []) }

    private func faults(above: [FlagSpec]) -> [String] {
        var faults: [String] = []
        var names = Set(["help"] + above.map(\.name))
        var letters = Set(above.compactMap(\.short))
        let all = above + flags
        for flag in flags {
            if !names.insert(flag.name).inserted { faults.append("\(name): --\(flag.name) is there twice") }
            if let short = flag.short, !letters.insert(short).inserted {
                faults.append("\(name): -\(short) is there twice")
            }
            if flag.isRequired, flag.defaultValue != nil {
                faults.append("\(name): --\(flag.name) is required and has a default")
            }
            for other in flag.conflicts where !all.contains(where: { $0.name == other }) {
                faults.append("\(name): --\(flag.name) conflicts with --\(other), which does not exist")
            }
            let texts = flag.isRepeated ? flag.defaultValue?.split(separator: ",").map(String.init) : nil
            for text in texts ?? [flag.defaultValue].compactMap(\.self) {
                if let kind = flag.value, case .failure(let fault) = ArgumentValue.parse(text, kind) {
                    faults.append("\(name): the default of --\(flag.name) \(fault.what)")
                }
            }
        }
        for (index, positional) in positionals.enumerated() {
            if index > 0, !positional.isOptional, positionals[index - 1].isOptional {
                faults.append("\(name): \(positional.name) is required behind an optional one")
            }
            if index < positionals.count - 1, positional.isRepeated {
                faults.append("\(name): \(positional.name) is repeated and not the last")
            }
        }
        if !subcommands.isEmpty, !runsItself, !positionals.isEmpty {
            faults.append("\(name): positional arguments besides subcommands need runsItself")
        }
        if Set(subcommands.map(\.name)).count != subcommands.count {
            faults.append("\(name): a subcommand is there twice")
        }
        return faults + subcommands.flatMap { $0.faults(above: all) }
    }
}

/// A function that finds the command on the line, then offers what can follow.
private struct BashCompletion {
    let root: CommandSpec

    private var function: String { "_\(ShellText.identifier(root.name))_complete" }

    var script: String {
        var lines = [
            "# bash completion for \(root.name), made by: \(root.name) completion bash",
            "\(function)() {",
            "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" path=\(quote(root.name)) i=1",
            "    COMPREPLY=()",
            "    # bash splits --flag=value into three words.",
            "    if [[ $cur == '=' ]]; then cur=; elif [[ $prev == '=' ]]; then prev=\"${COMP_WORDS[COMP_CWORD-2]}\"; fi",
            "    while (( i < COMP_CWORD )); do",
            "        case \"$path ${COMP_WORDS[i]}\" in",
        ]
        for chain in root.visibleChains {
            let path = chain.map(\.name).joined(separator: " ")
            for flag in visibleFlags(chain) where flag.value != nil {
                let patterns = spellings(flag).map { quote("\(path) \($0)") }.joined(separator: "|")
                lines.append("            \(patterns)) (( i++ )); [[ ${COMP_WORDS[i]} == '=' ]] && (( i++ )) ;;")
            }
            if chain.count > 1 { lines.append("            \(quote(path))) path=\(quote(path)) ;;") }
        }
        lines += ["        esac", "        (( i++ ))", "    done", "    case \"$path $prev\" in"]
        for chain in root.visibleChains {
            let path = chain.map(\.name).joined(separator: " ")
            for flag in visibleFlags(chain) {
                guard let kind = flag.value else { continue }
                let patterns = spellings(flag).map { quote("\(path) \($0)") }.joined(separator: "|")
                lines.append("        \(patterns)) \(action(kind)) return ;;")
            }
        }
        lines += ["    esac", "    case \"$path\" in"]
        for chain in root.visibleChains { lines += words(chain) }
        lines += ["    esac", "}", "complete -F \(function) \(root.name)"]
        return lines.joined(separator: "\n") + "\n"
    }

    private func words(_ chain: [CommandSpec]) -> [String] {
        let command = chain[chain.count - 1]
        let flags = visibleFlags(chain).flatMap { ["--\($0.name)"] + ($0.isNegatable ? ["--no-\($0.name)"] : []) }
        let all = (flags + ["--help"] + (chain.count == 1 ? ["--version"] : [])).joined(separator: " ")
        var lines = [
            "        \(quote(chain.map(\.name).joined(separator: " "))))",
            "            if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \(quote(all)) -- \"$cur\")); return; fi",
        ]
        let names = command.visibleSubcommands.map(\.name)
        if !names.isEmpty {
            lines.append("            COMPREPLY=($(compgen -W \(quote(names.joined(separator: " "))) -- \"$cur\"))")
        } else if let positional = command.positionals.first {
            lines.append("            \(action(positional.value))")
        }
        return lines + ["            ;;"]
    }

    private func action(_ kind: ValueKind) -> String {
        switch kind {
        case .path: "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\");"
        case .choice(let words, _): "COMPREPLY=($(compgen -W \(quote(words.joined(separator: " "))) -- \"$cur\"));"
        case .string, .integer, .duration: ":;"
        }
    }

    private func visibleFlags(_ chain: [CommandSpec]) -> [FlagSpec] { chain.reversed().flatMap(\.visibleFlags) }

    private func spellings(_ flag: FlagSpec) -> [String] { ["--\(flag.name)"] + (flag.short.map { ["-\($0)"] } ?? []) }

    private func quote(_ text: String) -> String { ShellText.quote(text) }
}

/// One function a command, each around `_arguments`.
private struct ZshCompletion {
    let root: CommandSpec

    var script: String {
        let functions = root.visibleChains.map(function).joined(separator: "\n")
        let main = name([root])
        // Works both ways: autoloaded from fpath, and sourced after compinit.
        return """
            #compdef \(root.name)
            # zsh completion for \(root.name), made by: \(root.name) completion zsh

            \(functions)
            if [ "$funcstack[1]" = "_\(root.name)" ]; then
                \(main) "$@"
            else
                compdef \(main) \(root.name)
            fi

            """
    }

    private func name(_ chain: [CommandSpec]) -> String {
        "_" + chain.map { ShellText.identifier($0.name) }.joined(separator: "__") + "_arguments"
    }

    private func function(_ chain: [CommandSpec]) -> String {
        let command = chain[chain.count - 1]
        var specs = chain.reversed().flatMap(\.visibleFlags).flatMap(self.specs)
        specs.append("(-h --help)--help[show help]")
        if !chain.contains(where: { $0.flags.contains { $0.short == "h" } }) {
            specs.append("(-h --help)-h[show help]")
        }
        if chain.count == 1 { specs.append("--version[show the version]") }
        var lines = ["\(name(chain))() {", "    local context state state_descr line", "    typeset -A opt_args"]
        if command.visibleSubcommands.isEmpty {
            for (index, positional) in command.positionals.enumerated() {
                // Two colons: it may be left out.
                let place = positional.isRepeated ? "*:" : positional.isOptional ? "\(index + 1)::" : "\(index + 1):"
                specs.append("\(place)\(escape(positional.name)):\(action(positional.value))")
            }
            lines.append(arguments("-S", specs))
        } else {
            specs += ["1:command:->command", "*::argument:->argument"]
            lines.append(arguments("-S -C", specs))
            lines += ["    case $state in", "    command)", "        local -a commands", "        commands=("]
            for sub in command.visibleSubcommands {
                lines.append("            \(ShellText.quote("\(sub.name):\(sub.summary)"))")
            }
            lines += [
                "        )", "        _describe command commands", "        ;;", "    argument)",
                "        case $line[1] in",
            ]
            for sub in command.visibleSubcommands { lines.append("        \(sub.name)) \(name(chain + [sub])) ;;") }
            lines += ["        esac", "        ;;", "    esac"]
        }
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }

    private func arguments(_ options: String, _ specs: [String]) -> String {
        "    _arguments \(options) \\\n" + specs.map { "        \(ShellText.quote($0))" }.joined(separator: " \\\n")
    }

    private func specs(_ flag: FlagSpec) -> [String] {
        var names = ["--\(flag.name)"]
        if flag.isNegatable { names.append("--no-\(flag.name)") }
        if let short = flag.short { names.append("-\(short)") }
        let exclusive = flag.isRepeated ? "*" : names.count > 1 ? "(\(names.joined(separator: " ")))" : ""
        return names.map { name in
            guard let kind = flag.value else { return "\(exclusive)\(name)[\(escape(flag.help))]" }
            let joint = name.hasPrefix("--") ? "=" : "+"
            return "\(exclusive)\(name)\(joint)[\(escape(flag.help))]:\(escape(flag.placeholder)):\(action(kind))"
        }
    }

    private func action(_ kind: ValueKind) -> String {
        switch kind {
        case .path: "_files"
        case .choice(let words, _): "(\(words.joined(separator: " ")))"
        case .string, .integer, .duration: " "
        }
    }

    /// Brackets and colons have a meaning in a spec.
    private func escape(_ text: String) -> String {
        text.reduce(into: "") { escaped, character in
            if "[]:\\".contains(character) { escaped.append("\\") }
            escaped.append(character)
        }
    }
}

private enum ShellText {
    static func quote(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    static func identifier(_ text: String) -> String {
        String(text.map { $0.isLetter || $0.isNumber ? $0 : "_" })
    }
}
