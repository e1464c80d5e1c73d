/** A failure converter that can't convert anything. */

export const failureConverter = {
  errorToFailure(): never {
    throw new TypeError('the key for failures is missing');
  },
  failureToError(): never {
    throw new TypeError('the key for failures is missing');
  },
};
