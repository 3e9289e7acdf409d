/** Work that stops now and then, done without a stop. @returns what it makes at its end */
export function finish<Result>(steps: Generator<void, Result>): Result {
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}
