/** Whether a user may run a command with these arguments. */
import { type CommandDeclaration, keyIndexes } from '../command/index.ts';
import { keyUsesOf } from './key-uses.ts';
import type { RuleCommand } from './rule-commands.ts';
import type { Selector } from './selector.ts';
import type { User } from './user.ts';

/** What was not permitted; the order is that in which Redis prefers one reason to another. */
export type Denial =
  | { readonly reason: 'command' }
  | { readonly reason: 'key'; readonly at: number }
  | { readonly reason: 'channel'; readonly at: number };

/** A command as called. The arity must have been checked. */
export interface Call {
  readonly spec: Pick<CommandDeclaration, 'keys' | 'flags'>;
  readonly command: RuleCommand;
  readonly args: readonly Buffer[];
}

/** Where channels are among the arguments. */
const CHANNELS: ReadonlyMap<string, { readonly isPattern: boolean; readonly isOne: boolean }> = new Map([
  ['publish', { isPattern: false, isOne: true }],
  ['spublish', { isPattern: false, isOne: true }],
  ['subscribe', { isPattern: false, isOne: false }],
  ['ssubscribe', { isPattern: false, isOne: false }],
  ['psubscribe', { isPattern: true, isOne: false }],
]);

const RANK: Readonly<Record<Denial['reason'], number>> = { command: 1, key: 2, channel: 3 };
const placeOf = (denial: Denial): number => (denial.reason === 'command' ? 0 : denial.at);

/** Why a call is not permitted; undefined when it is. Of several selectors the one counts that comes farthest. */
export function denialOf(user: User, call: Call): Denial | undefined {
  let found: Denial = { reason: 'command' };
  for (const selector of user.selectors) {
    const denial = denialBy(selector, call);
    if (denial === undefined) return undefined;
    const isFurther =
      RANK[denial.reason] > RANK[found.reason] || (denial.reason === found.reason && placeOf(denial) > placeOf(found));
    if (isFurther) found = denial;
  }
  return found;
}

function denialBy(selector: Selector, { spec, command, args }: Call): Denial | undefined {
  const { flags } = spec;
  if (!flags.includes('no_auth') && !selector.permitsCommand(command, args)) return { reason: 'command' };
  if (!selector.permitsAllKeys && spec.keys !== undefined) {
    const [ofFirst, ofOthers] = keyUsesOf(command.fullName, spec, args);
    const indexes = keyIndexes(spec, args);
    for (const [nth, at] of indexes.entries()) {
      const key = args[at];
      if (key !== undefined && !selector.permitsKey(key, nth === 0 ? ofFirst : ofOthers)) return { reason: 'key', at };
    }
  }
  const channels = CHANNELS.get(command.fullName);
  if (channels === undefined || selector.permitsAllChannels) return undefined;
  const last = channels.isOne ? 2 : args.length;
  for (let at = 1; at < last; at++) {
    if (!selector.permitsChannel(args[at]!, channels.isPattern)) return { reason: 'channel', at };
  }
  return undefined;
}

/** What the denial is about: the command, the key or the channel. */
export const deniedObject = (denial: Denial, { command, args }: Call): Buffer =>
  denial.reason === 'command' ? Buffer.from(command.fullName, 'latin1') : args[denial.at]!;

/** What a client is told. */
export function denialText({ reason }: Denial, fullName: string): string {
  switch (reason) {
    case 'command':
      return `NOPERM this user has no permissions to run the '${fullName}' command`;
    case 'key':
      return 'NOPERM this user has no permissions to access one of the keys used as arguments';
    case 'channel':
      return 'NOPERM this user has no permissions to access one of the channels used as arguments';
  }
}

/** What a script is told that calls a command. */
export function scriptDenialText({ reason }: Denial): string {
  switch (reason) {
    case 'command':
      return "ERR The user executing the script can't run this command or subcommand";
    case 'key':
      return "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments";
    case 'channel':
      return "ERR The user executing the script can't publish to the channel mentioned in the command";
  }
}

/** What ACL DRYRUN answers. */
export function dryRunText({ reason }: Denial, object: string): string {
  return reason === 'command'
    ? `This user has no permissions to run the '${object}' command`
    : `This user has no permissions to access the '${object}' ${reason}`;
}
