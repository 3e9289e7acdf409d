/** What a command sees at its group's leader that writes a whole value, or so much into one that it is built aside. */
import type { KeyView } from '../../../kv/index.ts';
import { BuildAsideError, WholeValueView } from '../aside/index.ts';
import type { CommandSpec, EvaluationSettings } from '../command/index.ts';
import { hasBody } from '../keys/index.ts';

/** The call of a command. */
export interface WrittenCall {
  readonly spec: CommandSpec;
  readonly args: readonly Buffer[];
  readonly settings: EvaluationSettings;
}

/**
 * Whether a call brings along so much for one value that it is built aside, as far as that is known without the value.
 * @returns 'always', or 'unlessLarge': a value that has rows of its own is changed in place
 */
export function fillsAside({ spec, args, settings }: WrittenCall): 'always' | 'unlessLarge' | 'never' {
  const { fills } = spec;
  if (fills === undefined || !fills.isLarge(args) || settings.mayCreateBodies?.() === false) return 'never';
  return fills.replaces ? 'always' : 'unlessLarge';
}

/** @param call with the head of its first key @throws BuildAsideError */
export function viewForWriting(view: KeyView, call: WrittenCall & { readonly headKey: Buffer }): KeyView {
  // What replaces a value is built aside by the node of the client before anybody else is asked, if that node can.
  if (fillsAside(call) === 'unlessLarge' && !hasBody(view.get(call.headKey))) throw new BuildAsideError();
  return call.spec.writesWholeValue === true ? new WholeValueView(view) : view;
}
