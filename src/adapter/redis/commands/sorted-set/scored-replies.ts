/** How members and scores are answered. */
import type { ScoredMember } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { DoubleReply, type Reply } from '../../protocol/index.ts';

/** Members with their scores: pairs in RESP3, one flat array in RESP2. */
export function scoredReply({ resp }: Pick<CommandContext, 'resp'>, members: Iterable<ScoredMember>): Reply {
  const reply: Reply[] = [];
  for (const { member, score } of members) {
    if (resp === 3) reply.push([member, new DoubleReply(score)]);
    else reply.push(member, new DoubleReply(score));
  }
  return reply;
}

/** Members alone. */
export function memberReply(members: Iterable<ScoredMember>): Reply {
  const reply: Reply[] = [];
  for (const { member } of members) reply.push(member);
  return reply;
}
