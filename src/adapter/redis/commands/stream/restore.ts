/**
 * KVORUM-XRESTORE: a part of a stream, as `kvorum import` sends it. Other collections are put together with the commands that everybody uses; what is
 * pending of an entry that was deleted can be said with none of them.
 */
import { newStream, openStream } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { RedisError, type Reply, requireInteger } from '../../protocol/index.ts';
import { badFormat, valueInPayload } from '../value-payload.ts';
import { declareStream } from './declare-stream.ts';
import { addToStream } from './stored-stream.ts';

/** @returns how many entries the stream has then; as many as the part leaves, or more: it is there */
function restorePart(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [, key, before, payload] = args as [Buffer, Buffer, Buffer, Buffer];
  const expected = requireInteger(before);
  const value = valueInPayload(ctx, payload);
  if (value.type !== 'stream') throw badFormat();
  const stream = openStream(ctx, key);
  const length = stream?.length ?? 0;
  if (BigInt(length) !== expected) return length;
  const changed = stream ?? newStream(ctx, key);
  if (!addToStream(changed, value)) throw new RedisError('ERR The part does not lie behind what the stream has');
  changed.save();
  ctx.event('generic', 'restore', key);
  return changed.length;
}

export const restoreCommands: readonly CommandSpec[] = defineCommands([
  declareStream({
    name: 'kvorum-xrestore',
    arity: 4,
    since: '7.0.0',
    flags: ['write', 'denyoom'],
    aclCategories: ['dangerous'],
    summary:
      'Adds to a stream of so many entries what a payload has of it: entries, groups, consumers, what is pending.',
    complexity: 'O(N log M) for N elements of the part, in a stream of M',
    run: restorePart,
  }),
]);
