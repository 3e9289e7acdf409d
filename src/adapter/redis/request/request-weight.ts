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

/** Of all commands of a request together. */
export function weigh(
  commands: readonly { readonly spec: CommandSpec; readonly args: readonly Buffer[] }[],
): RequestWeight {
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
