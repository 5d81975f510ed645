use crate::testing::TestApi;
