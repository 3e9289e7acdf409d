/** What the declaration of a command says about how a connection treats it. */
import { type CommandSpec, mayWrite } from '../command/index.ts';

const publishes = ({ name }: CommandSpec): boolean => name === 'publish' || name === 'spublish';

/** CLIENT PAUSE WRITE holds it back. @param multi the open transaction, for EXEC */
export const mayChange = (spec: CommandSpec, args: readonly Buffer[], multi: { writes(): boolean }): boolean =>
  mayWrite(spec, args) || publishes(spec) || (spec.name === 'exec' && multi.writes());

/** It reads a few rows of keys that it names, and nothing else. */
export const readsLittle = ({ flags, writes }: CommandSpec): boolean =>
  flags.includes('readonly') && flags.includes('fast') && writes === undefined;

/** It reads or writes keys, calls what does, or publishes: clients that watch others with MONITOR may not, as if they were replicas. */
export const touchesKeys = (spec: CommandSpec): boolean =>
  spec.flags.includes('write') ||
  spec.flags.includes('readonly') ||
  (spec.group === 'scripting' && spec.flags.includes('skip_monitor')) ||
  publishes(spec);

/**
 * A command that answers later works until then. Others wait for somebody: for leaders (WATCH), for elements, for their turn (AUTH), and such time does not
 * make them slow.
 */
export const worksAllTheTime = ({ handler, flags, group, isProtected }: CommandSpec): boolean =>
  isProtected === true ||
  (handler?.kind === 'scan' && (group === 'server' || flags.includes('readonly') || flags.includes('write')));
