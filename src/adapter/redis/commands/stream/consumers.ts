/** How consumers come into being: by XGROUP CREATECONSUMER, or when they are first given something. */
import type { StreamConsumer, StreamGroup } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';

/** @param key of the group's stream */
export function newConsumer(ctx: CommandContext, key: Buffer, group: StreamGroup, name: Buffer): StreamConsumer {
  ctx.event('stream', 'xgroup-createconsumer', key);
  return group.createConsumer(name, ctx.nowMs);
}
