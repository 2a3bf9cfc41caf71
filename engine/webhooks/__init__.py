"""Events as HTTP requests to other programs, signed as Standard Webhooks (https://www.standardwebhooks.com) are."""
