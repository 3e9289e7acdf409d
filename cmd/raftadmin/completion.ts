/** Completion scripts for shells, made from the declared commands, so that they never lag behind them. */
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** One place in the tree of commands: the words that lead there and those that may follow. */
interface Place {
  readonly path: readonly string[];
  readonly commands: readonly Command[];
  readonly flags: readonly string[];
}

function* places(command: Command, path: readonly string[] = []): Generator<Place> {
  const commands = command.commands.filter((each) => each.name() !== 'help');
  const flags = command.options.flatMap((option) =>
    option.long === undefined || option.long === null ? [] : [option.long],
  );
  yield { path, commands, flags: [...flags, '--help'] };
  for (const child of commands) yield* places(child, [...path, child.name()]);
}

/** The script that a shell sources. */
export function completionScript(program: Command, shell: Shell): string {
  switch (shell) {
    case 'bash':
      return bash(program);
    case 'zsh':
      return `#compdef ${program.name()}\nautoload -U +X bashcompinit && bashcompinit\n${bash(program)}`;
    case 'fish':
      return fish(program);
  }
}

function bash(program: Command): string {
  const name = program.name();
  const all = [...places(program)];
  const shared = all[0]!.flags.join(' ');
  const steps = all.filter(({ path }) => path.length > 0).map(({ path }) => `"/${path.join('/')}"`);
  const cases = all.map(({ path, commands, flags }) => {
    const own = path.length === 0 ? '' : flags.join(' ');
    const words = [...commands.map((each) => each.name()), own, shared].filter((word) => word !== '').join(' ');
    return `    "${path.map((word) => `/${word}`).join('')}") words="${words}" ;;`;
  });
  return `# ${name} completion for bash: source <(${name} completion bash)
_${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" place="" word words="" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    word="\${COMP_WORDS[at]}"
    case "$place/$word" in
      ${steps.join(' | ')}) place="$place/$word" ;;
    esac
  done
  case "$place" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _${name} ${name}
`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "\\'")}'`;

function fish(program: Command): string {
  const name = program.name();
  const lines = [`# ${name} completion for fish: ${name} completion fish | source`, `complete -c ${name} -f`];
  for (const { path, commands, flags } of places(program)) {
    const siblings = commands.map((each) => each.name()).join(' ');
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
    const unseen = siblings === '' ? [] : [`not __fish_seen_subcommand_from ${siblings}`];
    const when = [...seen, ...unseen].join('; and ');
    for (const child of commands) {
      lines.push(`complete -c ${name} -n ${quoted(when)} -a ${child.name()} -d ${quoted(child.summary())}`);
    }
    const at = seen.length === 0 ? '' : ` -n ${quoted(seen.join('; and '))}`;
    for (const flag of flags) lines.push(`complete -c ${name}${at} -l ${flag.slice(2)}`);
  }
  return `${lines.join('\n')}\n`;
}
