/**
 * Commands that name very many ids, and do with each of them the same whatever becomes of the others: they are run a piece at a time, so that no turn
 * of the leader's event loop, no entry of the log and no turn of a replica has to take all of it. Nothing else of the client is started meanwhile, so
 * to the client it is one command. Others may see that some pieces are done. In transactions and scripts there are no pieces.
 */
import { nextTurn, type Scheduler } from '../../../platform/index.ts';
import { OutcomeUnknownError } from '../../../raftengine/index.ts';
import type { CommandSpec, PieceRule } from '../command/index.ts';
import { errorTextIn, integerIn, type Reply, splitArrayReply } from '../protocol/index.ts';

/** The pieces of a call; undefined when it is run as it is. */
export const piecesOf = ({ pieces }: CommandSpec, args: readonly Buffer[]): ReturnType<PieceRule['split']> =>
  pieces !== undefined && args.length > pieces.mostArguments ? pieces.split(args) : undefined;

const PARTLY_DONE = 'some of the ids have been taken in, others may not have been';

/** What several replies are as one. @param replies none of them an error */
function joined(kind: PieceRule['reply'], replies: readonly Reply[]): Reply {
  if (kind === 'list') return replies.flatMap((reply) => splitArrayReply(reply) ?? []);
  return replies.reduce<number>((sum, reply) => sum + integerIn(reply), 0);
}

/**
 * Runs the pieces of a call.
 * @param run runs one of them to its end
 * @param scheduler lets others have their turn: a piece that changes nothing is answered at once
 * @returns the reply of all; that of the first piece which is an error, when one is: those behind it have not been begun
 * @throws what the first piece throws; OutcomeUnknownError when a later one throws, since those before it have taken effect
 */
export async function runPieces(
  spec: CommandSpec,
  pieces: readonly (readonly Buffer[])[],
  run: (piece: readonly Buffer[]) => Promise<Reply>,
  scheduler: Pick<Scheduler, 'nextTurn'>,
): Promise<Reply> {
  const replies: Reply[] = [];
  for (const piece of pieces) {
    const reply = await run(piece).catch((error: unknown) => {
      throw replies.length === 0 ? error : new OutcomeUnknownError(PARTLY_DONE, { cause: error });
    });
    if (errorTextIn(reply) !== undefined) return reply;
    replies.push(reply);
    await nextTurn(scheduler);
  }
  return joined(spec.pieces!.reply, replies);
}
