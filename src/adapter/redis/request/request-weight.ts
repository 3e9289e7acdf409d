/** How much a request is: what it brings along, and whether its leader may be at work on it for long, as with all of a collection. */
import type { CommandSpec } from '../command/index.ts';

export interface RequestWeight {
  readonly argumentBytes: number;
  readonly argumentCount: number;
  readonly readsMuch: boolean;
}

const SHORT_VALUES: ReadonlySet<string> = new Set(['string', 'bitmap', 'hyperloglog']);

/** What takes long over two short values. */
const LONG_WORK = 'lcs';

const mayReadMuch = ({ name, flags, group }: CommandSpec): boolean =>
  flags.includes('readonly') && !flags.includes('fast') && (!SHORT_VALUES.has(group) || name === LONG_WORK);

type Commands = readonly { readonly spec: CommandSpec; readonly args: readonly Buffer[] }[];

/** Of all commands of a request together, which keeps it. */
export function weightOf({
  journey,
  commands,
}: {
  readonly journey: { weight: RequestWeight | undefined };
  readonly commands: Commands;
}): RequestWeight {
  journey.weight ??= weigh(commands);
  return journey.weight;
}

function weigh(commands: Commands): RequestWeight {
  let argumentBytes = 0;
  let argumentCount = 0;
  let readsMuch = false;
  for (const { spec, args } of commands) {
    readsMuch ||= mayReadMuch(spec);
    argumentCount += args.length;
    for (const arg of args) argumentBytes += arg.length;
  }
  return { argumentBytes, argumentCount, readsMuch };
}
