/** An operation as a declaration: dispatch, checks, permissions and documentation read nothing else. */
import type { RequestContext } from './request-context.ts';

/** What credentials need for it: read-only ones may not write. */
export type Access = 'read' | 'write';

/**
 * An operation of the API.
 *
 * `Input` is the checked tree of the request's body: it has the members of the service's model and no others, of the model's types, and keeps
 * the model's constraints (present where required, lengths, ranges, patterns, enumerations). Absent members and `null` ones are not there.
 * Members with names of users' choice are objects that are only to be read by their own keys, see `JsonMap`.
 *
 * `Plan` is what `validate` makes of it: expressions parsed, values decoded, all that needs no table. Where there is nothing to make, it is the input.
 */
export interface Operation<Input, Output, Plan = Input> {
  /** As the service calls it, such as `GetItem`. */
  readonly name: string;
  /** A function where it depends on what is asked, as with statements. */
  readonly access: Access | ((plan: Plan) => Access);
  /**
   * Checks that need nothing but the request: members against each other, expressions, attribute values.
   * Synchronous; a wrong request is refused here whether its table exists or not.
   * @throws DynamoError
   */
  validate(input: Input): Plan;
  /**
   * Does it. @returns the answer's members; undefined ones are left out, no member is null
   * @throws DynamoError; other KvorumErrors are mapped to the service's own by one table
   */
  run(context: RequestContext, plan: Plan): Promise<Output>;
}

/** What an operation answers that has written its JSON itself, where making a tree first would cost more than the answer. */
export class EncodedOutput {
  /** One JSON object, UTF-8. */
  readonly json: Buffer;

  constructor(json: Buffer) {
    this.json = json;
  }
}

/** An operation as the table of all of them keeps it: what it takes and makes is known to itself alone. */
export interface AnyOperation {
  readonly name: string;
  /** Checks a tree that keeps the model's constraints. @throws DynamoError */
  prepare(input: object): PreparedOperation;
}

/** A request that has been checked as far as it can be without its table. */
export interface PreparedOperation {
  readonly access: Access;
  run(context: RequestContext): Promise<object>;
}

/**
 * Forgets the types of an operation, which the model's constraints vouch for.
 * @param operation whose `Input` is what the model says of its request
 */
export function declareOperation<Input extends object, Output extends object, Plan>(
  operation: Operation<Input, Output, Plan>,
): AnyOperation {
  const { name, access } = operation;
  return {
    name,
    prepare(input) {
      const plan = operation.validate(input as Input);
      return {
        access: typeof access === 'function' ? access(plan) : access,
        run: (context) => operation.run(context, plan),
      };
    },
  };
}
