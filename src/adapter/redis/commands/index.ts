/**
 * Every command that the server knows, a folder a group. A new group is a folder whose face exports its declarations, and one line here; dispatch,
 * COMMAND and the leader's end of forwarded commands read nothing else.
 *
 * Each group has its declarations as data and the functions that they name beside them. Functions of `data` commands are synchronous and
 * see a view of their keys; the others see the client's session or all keys.
 */
import type { CommandSpec } from '../command/index.ts';
import { aclCommands } from './acl/index.ts';
import { bitmapCommands } from './bitmap/index.ts';
import { clusterCommands } from './cluster/index.ts';
import { connectionCommands } from './connection/index.ts';
import { genericCommands } from './generic/index.ts';
import { geoCommands } from './geo/index.ts';
import { hashCommands } from './hash/index.ts';
import { hyperLogLogCommands } from './hyperloglog/index.ts';
import { listCommands } from './list/index.ts';
import { pubsubCommands } from './pubsub/index.ts';
import { scriptingCommands } from './scripting/index.ts';
import { serverCommands } from './server/index.ts';
import { setCommands } from './set/index.ts';
import { sortCommands } from './sort/index.ts';
import { sortedSetCommands } from './sorted-set/index.ts';
import { streamCommands } from './stream/index.ts';
import { stringCommands } from './string/index.ts';
import { transactionCommands } from './transaction/index.ts';

export { clientLine } from './connection/index.ts';

export const ALL_COMMANDS: readonly CommandSpec[] = [
  ...aclCommands,
  ...bitmapCommands,
  ...clusterCommands,
  ...connectionCommands,
  ...genericCommands,
  ...geoCommands,
  ...hashCommands,
  ...hyperLogLogCommands,
  ...listCommands,
  ...pubsubCommands,
  ...scriptingCommands,
  ...serverCommands,
  ...setCommands,
  ...sortCommands,
  ...sortedSetCommands,
  ...streamCommands,
  ...stringCommands,
  ...transactionCommands,
];

/** Those that work on keys through a view, containers of such ones included: what a leader evaluates for other nodes. */
export const dataCommands: readonly CommandSpec[] = ALL_COMMANDS.filter(isData);

function isData({ handler, subcommands }: CommandSpec): boolean {
  return handler?.kind === 'data' || subcommands?.some(isData) === true;
}
